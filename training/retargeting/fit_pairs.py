"""A map from takes that two trackers saw at once: in step, both sides' resting face taken away, ridge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import EXPRESSION_SIZE
from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget import ExpressionMap, MapFit
from imavatar_deploy.retarget.arkit import ARKIT
from imavatar_deploy.retarget.expression_map import CONTROLS, INPUTS

from .recordings import Recording

# Ridge regression, and the choice of its lambda by leaving stretches of time out.


Double = NDArray[np.float64]

LAMBDAS: Double = np.asarray(np.logspace(-6, 3, 19), dtype=np.float64)
"""Tried, as multiples of the inputs' mean square: from nearly none to one that explains nothing."""

BLOCKS, FOLDS = 20, 5
"""A take is cut into stretches that are dealt out to folds: neighbouring frames are alike, so one proves nothing."""


@dataclass(frozen=True)
class Cure:
    """The lambda that errs least on frames it has not seen."""

    ridge: float
    missed: Double  # [T, m] held-out error of every frame at that lambda
    errors: (
        Double  # [L] mean square of the held-out errors, outputs scaled alike, at each of `tried`
    )
    tried: Double  # [L]


def ridge(inputs: Double, outputs: Double, strength: float) -> Double:
    """[n, m] matrix A of least |inputs A - outputs|^2 + strength |A|^2, for inputs [T, n] and outputs [T, m]."""
    return np.asarray(_solutions(inputs, outputs, np.array([strength]))[0])


def _solutions(inputs: Double, outputs: Double, strengths: Double) -> Double:
    """[L, n, m] one for each strength, from one decomposition."""
    left, size, right = np.linalg.svd(inputs, full_matrices=False)
    seen = left.T @ outputs
    share = size / np.maximum(size**2 + strengths[:, None], np.finfo(float).tiny)
    return np.asarray(np.einsum("in,li,im->lnm", right, share, seen))


def cross_validated(inputs: Double, outputs: Double) -> Cure:
    """Try every lambda on stretches that are held out, and take the best.

    An output counts by its own spread, so that radians and expression codes have one say each.
    """
    tried = LAMBDAS * max(float((inputs**2).sum()) / inputs.shape[1], np.finfo(float).tiny)
    fold = (np.arange(len(inputs)) * BLOCKS // len(inputs)) % FOLDS
    missed = np.zeros((len(tried), *outputs.shape))
    for held in range(FOLDS):
        out = fold == held
        guesses = inputs[out] @ _solutions(inputs[~out], outputs[~out], tried)
        missed[:, out] = guesses - outputs[out]
    spread = outputs.std(axis=0)
    moving = spread > 1e-9
    errors = (
        (missed[:, :, moving] ** 2 / spread[moving] ** 2).mean(axis=(1, 2))
        if moving.any()
        else np.zeros(len(tried))
    )
    best = int(errors.argmin())
    return Cure(float(tried[best]), missed[best], errors, tried)


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

    expression_map: ExpressionMap
    explained: (
        Double  # [59] share of each output's variance on frames held out; NaN where it never moves
    )
    reached: Double  # [n] how far each input moved from rest
    frames: int

    @property
    def unmoved_inputs(self) -> list[str]:
        """Inputs that never moved: the map leaves them without effect."""
        return [
            name
            for name, size in zip(self.expression_map.inputs, self.reached, strict=True)
            if size < STILL
        ]


def fit_pairs(
    pairs: Sequence[tuple[Recording, Recording]], made_from: str, *, offset: float = 0.0
) -> PairsFit:
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
    fit = MapFit(
        "pairs",
        made_from,
        cure.ridge,
        len(inputs),
        _rms(cure.missed[:, codes]),
        _rms(outputs[:, codes]),
    )
    expression_map = ExpressionMap(source, target, matrix.astype(np.float32), fit=fit)
    return PairsFit(expression_map, explained, np.abs(inputs).max(axis=0), len(inputs))


def _vocabularies(pairs: Sequence[tuple[Recording, Recording]]) -> tuple[str, str]:
    kinds = {(first.vocabulary, second.vocabulary) for first, second in pairs}
    if len(kinds) != 1:
        raise InputError(
            f"all pairs must be of the same two kinds, got {' and '.join(map(' -> '.join, sorted(kinds)))}"
        )
    ((source, target),) = kinds
    if INPUTS[target] != CONTROLS:
        raise InputError(
            f"a map leads to a head model's codes, and the second of a pair is {target}; turn them round"
        )
    return source, target


def _in_step(first: Recording, second: Recording, offset: float) -> tuple[Double, Double]:
    """Both at the second's frames, as far as the first was there, each without its own resting face."""
    times = second.times + offset
    shared = (times >= first.times[0]) & (times <= first.times[-1])
    if not shared.any():
        raise InputError(
            f"the takes have no moment in common (the first lasts {first.times[-1]:.1f} s, the second "
            f"{second.times[-1]:.1f} s from {offset:+.1f} s): mend --offset"
        )
    inputs = np.stack(
        [np.interp(times[shared], first.times, column) for column in first.values.T], axis=1
    )
    outputs = second.values[shared]
    calm = _calm(inputs)
    return inputs - inputs[calm].mean(axis=0), outputs - outputs[calm].mean(axis=0)


def _calm(inputs: Double) -> NDArray[np.intp]:
    """The frames nearest to the median face."""
    far = np.linalg.norm(inputs - np.median(inputs, axis=0), axis=1)
    return np.argsort(far, kind="stable")[: max(1, round(CALM * len(inputs)))]


def _rms(values: Double) -> float:
    return float(np.sqrt((values**2).mean()))
