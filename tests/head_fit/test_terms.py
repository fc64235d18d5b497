"""Derivatives of the priors of a frame's parameters."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.head_fit.landmark_model import FRAME_SIZE
from imavatar_deploy.head_fit.terms import LEFT_GAZE, RIGHT_GAZE, FramePriors

from .subjects import openhead


def test_derivatives_of_the_priors_are_those_of_finite_differences() -> None:
    priors = FramePriors.of(openhead())
    frames = np.random.default_rng(0).normal(0, 0.3, (2, FRAME_SIZE))
    gradient = np.zeros_like(frames)
    hessian = np.zeros((2, FRAME_SIZE, FRAME_SIZE))
    priors.add_to(frames, gradient, hessian)
    step = 1e-3
    for frame in range(2):
        for parameter in range(FRAME_SIZE):
            moved = np.zeros_like(frames)
            moved[frame, parameter] = step
            slope = (priors.energy(frames + moved) - priors.energy(frames - moved)) / (2 * step)
            assert abs(slope - gradient[frame, parameter]) < 1e-9
            further = np.zeros_like(frames)
            priors.add_to(frames + moved, further, np.zeros_like(hessian))
            row = (further - gradient)[frame] / step
            np.testing.assert_allclose(row, hessian[frame, parameter], atol=1e-9)


def test_eyes_that_are_parallel_cost_nothing_beside_their_rotation() -> None:
    priors = FramePriors.of(openhead())
    parallel, apart = np.zeros((2, 1, FRAME_SIZE))
    parallel[:, LEFT_GAZE] = parallel[:, RIGHT_GAZE] = apart[:, LEFT_GAZE] = (0.1, 0.2, 0.0)
    apart[:, RIGHT_GAZE] = (-0.1, -0.2, 0.0)
    assert priors.energy(apart) > 3 * priors.energy(parallel) > 0
