"""Whether two recordings show one performance: their fit, against fits to shifted recordings.

A ridge regression explains a little of any motion. What it explains by chance is measured on the
same recordings: the target is shifted in time, cyclically, so that it keeps its own rhythm and no
longer goes with the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Float64

SHIFTS = 19
"""Number of shifts in time."""

GOLDEN = (5**0.5 - 1) / 2
"""Shifts are its multiples modulo 1, spread evenly and without a common period."""

SHIFT_RANGE = (0.1, 0.9)
"""Shifts as shares of a recording: near both ends the recording goes with itself."""

QUANTILE = 0.9
"""Quantile of the shifted recordings that counts as chance; some shifts may meet a repetition."""

REQUIRED_MARGIN = 0.1
"""Share of the variance that recordings of one performance explain beyond chance.

Measured: 0.69 to 0.76 of 150 to 490 frames with half as much noise as motion; at most 0.05 of
recordings of different performances.
"""

MAX_FRAMES = 2000
"""Largest number of frames in this comparison; of more, every n-th is used."""

STRENGTHS: Float64[Array, " L"] = np.asarray(np.logspace(-3, 3, 7), dtype=np.float64)
"""Lambdas as multiples of the mean square of the inputs; the best of each shift counts."""

BLOCKS = 20
FOLDS = 5


@dataclass(frozen=True)
class Relation:
    """How much of the target's variance the source explains on held-out frames."""

    explained: float
    """In the recordings as they are: the mean of all outputs that move."""
    by_chance: float
    """In recordings shifted in time; at least 0."""

    @property
    def is_one_performance(self) -> bool:
        """Whether the recordings go together."""
        return self.explained >= self.by_chance + REQUIRED_MARGIN


def relation_of(
    takes: Sequence[tuple[Float64[Array, "_ N"], Float64[Array, "_ M"]]],
) -> Relation:
    """Compare the fit of aligned recordings with fits to shifted ones.

    Args:
        takes: source and target of each recording at the same times, at rest zero.
    """
    step = -(-sum(len(source) for source, _ in takes) // MAX_FRAMES)
    takes = [(source[::step], target[::step]) for source, target in takes]
    inputs = np.concatenate([source for source, _ in takes])
    low, high = SHIFT_RANGE
    shares = [0.0, *(low + (high - low) * (index * GOLDEN % 1) for index in range(1, SHIFTS + 1))]
    outputs = np.stack(
        [
            np.concatenate([np.roll(target, round(share * len(target)), 0) for _, target in takes])
            for share in shares
        ]
    )
    moving = outputs[0].std(axis=0) > 1e-9
    if not moving.any():
        return Relation(0.0, 0.0)
    outputs = outputs[:, :, moving]
    explained = _explained(inputs, outputs / outputs[0].std(axis=0))
    return Relation(float(explained[0]), max(0.0, float(np.quantile(explained[1:], QUANTILE))))


def _explained(
    inputs: Float64[Array, "T N"], outputs: Float64[Array, "K T M"]
) -> Float64[Array, " K"]:
    """Share of the variance of outputs of variance 1 that held-out frames confirm, at the best
    lambda of each of the K."""
    candidates = STRENGTHS * max(float((inputs**2).sum()) / inputs.shape[1], np.finfo(float).tiny)
    fold = (np.arange(len(inputs)) * BLOCKS // len(inputs)) % FOLDS
    squares = np.zeros((len(candidates), len(outputs)))
    for index in range(FOLDS):
        out = fold == index
        left, size, right = np.linalg.svd(inputs[~out], full_matrices=False)
        turned = inputs[out] @ right.T
        for number, target in enumerate(outputs):
            projected = left.T @ target[~out]
            for row, strength in enumerate(candidates):
                share = size / (size**2 + strength)
                error = (turned * share) @ projected - target[out]
                squares[row, number] += float((error**2).sum())
    return np.asarray(1 - squares.min(axis=0) / outputs[0].size)
