"""Ridge regression, and the choice of its lambda by leaving stretches of time out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    errors: Double  # [L] mean square of the held-out errors, outputs scaled alike, at each of `tried`
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
        (missed[:, :, moving] ** 2 / spread[moving] ** 2).mean(axis=(1, 2)) if moving.any() else np.zeros(len(tried))
    )
    best = int(errors.argmin())
    return Cure(float(tried[best]), missed[best], errors, tried)
