"""Fits an expression map to paired recordings of one performance by two trackers.

The recordings are resampled to the same times, the resting face is subtracted from each, and the
matrix is fitted by ridge regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Float64, Int64
from imavatar_deploy.conventions import EXPRESSION_SIZE
from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget import ExpressionMap, MapFit
from imavatar_deploy.retarget.arkit import ARKIT
from imavatar_deploy.retarget.expression_map import CONTROLS, INPUTS

from .recordings import Recording
from .related import Relation, relation_of

LAMBDAS: Float64[Array, " L"] = np.asarray(np.logspace(-6, 3, 19), dtype=np.float64)
"""Candidates for lambda, as multiples of the mean square of the inputs."""

BLOCKS = 20
FOLDS = 5
"""Folds of the cross-validation consist of blocks of time, as neighbouring frames are alike."""

MIN_FRAMES = 100
"""Smallest number of frames for a matrix of 52 x 59."""

REST_SHARE = 0.05
"""Share of the frames, those nearest to the median, whose mean is the resting face."""

TURN_UNIT = 0.2
"""Radians of jaw or eye that weigh as much as a unit of expression, where codes are the inputs."""

REST_TOLERANCE = 0.02
"""Largest distance from rest of an input that counts as unmoved."""


# Ridge regression


@dataclass(frozen=True)
class RidgeSelection:
    """The lambda with the least cross-validated error, and the errors of all candidates."""

    ridge: float
    residuals: Float64[Array, "T M"]  # held-out error of every frame at that lambda
    errors: Float64[Array, " L"]  # mean square of the held-out errors, relative to the variance
    candidates: Float64[Array, " L"]


def ridge(
    inputs: Float64[Array, "T N"], outputs: Float64[Array, "T M"], strength: float
) -> Float64[Array, "N M"]:
    """Matrix A that minimises |inputs A - outputs|^2 + strength |A|^2."""
    return np.asarray(_solutions(inputs, outputs, np.array([strength]))[0])


def _solutions(
    inputs: Float64[Array, "T N"],
    outputs: Float64[Array, "T M"],
    strengths: Float64[Array, " L"],
) -> Float64[Array, "L N M"]:
    """Solutions of the ridge regression for several strengths, by one decomposition."""
    left, size, right = np.linalg.svd(inputs, full_matrices=False)
    projection = left.T @ outputs
    share = size / np.maximum(size**2 + strengths[:, None], np.finfo(float).tiny)
    return np.asarray(np.einsum("in,li,im->lnm", right, share, projection))


def select_ridge(inputs: Float64[Array, "T N"], outputs: Float64[Array, "T M"]) -> RidgeSelection:
    """Select lambda by cross-validation over blocks of time.

    Errors are relative to the variance of each output, so that radians and expression codes have
    the same weight.
    """
    candidates = LAMBDAS * max(float((inputs**2).sum()) / inputs.shape[1], np.finfo(float).tiny)
    fold = (np.arange(len(inputs)) * BLOCKS // len(inputs)) % FOLDS
    residuals = np.zeros((len(candidates), *outputs.shape))
    for index in range(FOLDS):
        out = fold == index
        predictions = inputs[out] @ _solutions(inputs[~out], outputs[~out], candidates)
        residuals[:, out] = predictions - outputs[out]
    spread = outputs.std(axis=0)
    moving = spread > 1e-9
    errors = (
        (residuals[:, :, moving] ** 2 / spread[moving] ** 2).mean(axis=(1, 2))
        if moving.any()
        else np.zeros(len(candidates))
    )
    best = int(errors.argmin())
    return RidgeSelection(float(candidates[best]), residuals[best], errors, candidates)


# Fit of a map


@dataclass(frozen=True)
class PairsFit:
    """A map from paired recordings, and its quality."""

    expression_map: ExpressionMap
    explained: Float64[Array, "59"]
    """Explained share of each output's variance on held-out frames; NaN where it never moves."""
    largest_inputs: Float64[Array, " N"]
    """Largest distance of each input from rest."""
    frames: int
    relations: tuple[Relation, ...]
    """Of each pair; of all together where one is shorter than `MIN_FRAMES`."""

    def ensure_one_performance(self) -> None:
        """Check that the recordings of each pair show the same performance.

        Raises:
            InputError: the first of a pair explains no more of the second than by chance.
        """
        for number, relation in enumerate(self.relations, start=1):
            if not relation.is_one_performance:
                pair = f" of pair {number}" if len(self.relations) > 1 else ""
                raise InputError(
                    f"the recordings{pair} do not go together: on held-out frames the first "
                    f"explains {_percent(relation.explained)} of the motion of the second, and "
                    f"{_percent(relation.by_chance)} when the second is shifted in time, which is "
                    "chance; pass two tracks of one performance, or correct --offset"
                )

    @property
    def unmoved_inputs(self) -> list[str]:
        """Inputs that never moved, which have no effect in the map."""
        return [
            name
            for name, size in zip(self.expression_map.inputs, self.largest_inputs, strict=True)
            if size < REST_TOLERANCE
        ]


def fit_pairs(
    pairs: Sequence[tuple[Recording, Recording]], made_from: str, *, offset: float = 0.0
) -> PairsFit:
    """Fit a map from the first recording of each pair to the second.

    Args:
        pairs: recordings of one person or several; all first ones have the same vocabulary, and so
            have all second ones.
        made_from: file names or words for the reader of the map.
        offset: seconds by which the second of each pair began later than the first.

    Raises:
        InputError: vocabularies differ, the target's is not that of a head model, or too few frames
            overlap in time.
    """
    source, target = _vocabularies(pairs)
    aligned = [_align(*pair, offset) for pair in pairs]
    inputs, outputs = (np.concatenate(side) for side in zip(*aligned, strict=True))
    if len(inputs) < MIN_FRAMES:
        raise InputError(
            f"only {len(inputs)} frames of the recordings overlap in time, and at least "
            f"{MIN_FRAMES} are required: record a longer take, or correct --offset"
        )
    unit = np.ones(inputs.shape[1])
    if source != ARKIT:
        unit[EXPRESSION_SIZE:] = TURN_UNIT
    selection = select_ridge(inputs / unit, outputs)
    matrix = ridge(inputs / unit, outputs, selection.ridge) / unit[:, None]
    variance = outputs.var(axis=0)
    explained = 1.0 - (selection.residuals**2).mean(axis=0) / np.where(
        variance > 1e-12, variance, np.nan
    )
    codes = slice(EXPRESSION_SIZE)
    fit = MapFit(
        "pairs",
        made_from,
        selection.ridge,
        len(inputs),
        _rms(selection.residuals[:, codes]),
        _rms(outputs[:, codes]),
    )
    expression_map = ExpressionMap(source, target, matrix.astype(np.float32), fit=fit)
    return PairsFit(
        expression_map,
        explained,
        np.abs(inputs).max(axis=0),
        len(inputs),
        _relations([(first / unit, second) for first, second in aligned]),
    )


def _relations(
    aligned: Sequence[tuple[Float64[Array, "_ N"], Float64[Array, "_ M"]]],
) -> tuple[Relation, ...]:
    if min(len(first) for first, _ in aligned) < MIN_FRAMES:
        return (relation_of(aligned),)
    return tuple(relation_of([pair]) for pair in aligned)


def _vocabularies(pairs: Sequence[tuple[Recording, Recording]]) -> tuple[str, str]:
    kinds = {(first.vocabulary, second.vocabulary) for first, second in pairs}
    if len(kinds) != 1:
        raise InputError(
            "all pairs must be of the same two kinds, got "
            f"{' and '.join(map(' -> '.join, sorted(kinds)))}"
        )
    ((source, target),) = kinds
    if INPUTS[target] != CONTROLS:
        raise InputError(
            f"the second recording of a pair must hold a head model's codes, got {target}; "
            "exchange the two"
        )
    return source, target


def _align(
    first: Recording, second: Recording, offset: float
) -> tuple[Float64[Array, "T N"], Float64[Array, "T M"]]:
    """Values of both at the second's frames within the first, minus the resting face of each."""
    times = second.times + offset
    shared = (times >= first.times[0]) & (times <= first.times[-1])
    if not shared.any():
        raise InputError(
            f"the recordings do not overlap in time (the first lasts {first.times[-1]:.1f} s, the "
            f"second {second.times[-1]:.1f} s from {offset:+.1f} s): correct --offset"
        )
    inputs = np.stack(
        [np.interp(times[shared], first.times, column) for column in first.values.T], axis=1
    )
    outputs = second.values[shared]
    rest = _resting_frames(inputs)
    return inputs - inputs[rest].mean(axis=0), outputs - outputs[rest].mean(axis=0)


def _resting_frames(inputs: Float64[Array, "T N"]) -> Int64[Array, " R"]:
    """Indices of the frames nearest to the median face."""
    distance = np.linalg.norm(inputs - np.median(inputs, axis=0), axis=1)
    return np.argsort(distance, kind="stable")[: max(1, round(REST_SHARE * len(inputs)))]


def _percent(share: float) -> str:
    return f"{100 * max(share, 0):.0f} %"


def _rms(values: Float64[Array, "..."]) -> float:
    return float(np.sqrt((values**2).mean()))
