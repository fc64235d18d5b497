"""A map from takes that two trackers saw at once: in step, both sides' resting face taken away, ridge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import EXPRESSION_SIZE
from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget import ExpressionMap, Fit
from imavatar_deploy.retarget.arkit import ARKIT
from imavatar_deploy.retarget.controls import CONTROLS, INPUTS

from .ridge import cross_validated, ridge
from .take import Take

Double = NDArray[np.float64]

FEWEST = 100
"""Frames in step, below which a matrix of 52 x 59 is guesswork."""

CALM = 0.05
"""Share of a take's frames, those nearest to its median, whose mean is the driver's resting face."""

TURN_UNIT = 0.2
"""Radians of jaw or eye that weigh as much as a whole unit of expression, where codes are the inputs."""

STILL = 0.02
"""An input that never moves farther than this from rest has taught nothing."""


@dataclass(frozen=True)
class PairsFit:
    """A map from pairs, and what a user should know of it."""

    chart: ExpressionMap
    explained: Double  # [59] share of each output's variance on frames held out; NaN where it never moves
    reached: Double  # [n] how far each input moved from rest
    frames: int

    @property
    def untaught(self) -> list[str]:
        """Inputs that never moved: the map leaves them without effect."""
        return [name for name, size in zip(self.chart.inputs, self.reached, strict=True) if size < STILL]


def fit_pairs(pairs: Sequence[tuple[Take, Take]], made_from: str, *, offset: float = 0.0) -> PairsFit:
    """Fit a map from the first of each pair to the second.

    Args:
        pairs: takes of one driver or several; all of one vocabulary on each side.
        offset: seconds by which the second of each pair began later than the first.

    Raises:
        InputError: vocabularies differ, the target is none of FLAME's form, or too few frames are in step.
    """
    source, target = _vocabularies(pairs)
    stepped = [_in_step(*pair, offset) for pair in pairs]
    inputs, outputs = (np.concatenate(side) for side in zip(*stepped, strict=True))
    if len(inputs) < FEWEST:
        raise InputError(
            f"only {len(inputs)} frames of the takes are in step, and {FEWEST} are the fewest worth a fit: record a "
            "longer take, or mend --offset"
        )
    unit = np.ones(inputs.shape[1])
    if source != ARKIT:
        unit[EXPRESSION_SIZE:] = TURN_UNIT
    cure = cross_validated(inputs / unit, outputs)
    matrix = ridge(inputs / unit, outputs, cure.ridge) / unit[:, None]
    spread = outputs.var(axis=0)
    explained = 1.0 - (cure.missed**2).mean(axis=0) / np.where(spread > 1e-12, spread, np.nan)
    codes = slice(EXPRESSION_SIZE)
    fit = Fit("pairs", made_from, cure.ridge, len(inputs), _rms(cure.missed[:, codes]), _rms(outputs[:, codes]))
    chart = ExpressionMap(source, target, matrix.astype(np.float32), fit=fit)
    return PairsFit(chart, explained, np.abs(inputs).max(axis=0), len(inputs))


def _vocabularies(pairs: Sequence[tuple[Take, Take]]) -> tuple[str, str]:
    kinds = {(first.vocabulary, second.vocabulary) for first, second in pairs}
    if len(kinds) != 1:
        raise InputError(
            f"all pairs must be of the same two kinds, got {' and '.join(map(' -> '.join, sorted(kinds)))}"
        )
    ((source, target),) = kinds
    if INPUTS[target] != CONTROLS:
        raise InputError(f"a map leads to a head model's codes, and the second of a pair is {target}; turn them round")
    return source, target


def _in_step(first: Take, second: Take, offset: float) -> tuple[Double, Double]:
    """Both at the second's frames, as far as the first was there, each without its own resting face."""
    times = second.times + offset
    shared = (times >= first.times[0]) & (times <= first.times[-1])
    if not shared.any():
        raise InputError(
            f"the takes have no moment in common (the first lasts {first.times[-1]:.1f} s, the second "
            f"{second.times[-1]:.1f} s from {offset:+.1f} s): mend --offset"
        )
    inputs = np.stack([np.interp(times[shared], first.times, column) for column in first.values.T], axis=1)
    outputs = second.values[shared]
    calm = _calm(inputs)
    return inputs - inputs[calm].mean(axis=0), outputs - outputs[calm].mean(axis=0)


def _calm(inputs: Double) -> NDArray[np.intp]:
    """The frames nearest to the median face."""
    far = np.linalg.norm(inputs - np.median(inputs, axis=0), axis=1)
    return np.argsort(far, kind="stable")[: max(1, round(CALM * len(inputs)))]


def _rms(values: Double) -> float:
    return float(np.sqrt((values**2).mean()))
