"""NormalEquations against the dense matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imavatar_deploy.head_fit.block_tridiagonal import NormalEquations

FRAMES, SIZE, SHARED = 6, 4, 3


def random_equations(shared: int, seed: int = 0) -> NormalEquations:
    rng = np.random.default_rng(seed)
    coupling = rng.uniform(0, 1, (FRAMES, SIZE))
    coupling[0] = 0
    root = rng.normal(0, 1, (FRAMES, SIZE, SIZE))
    border = rng.normal(0, 0.1, (FRAMES, SIZE, shared))
    return NormalEquations(
        rng.normal(0, 1, (FRAMES, SIZE)),
        root @ root.transpose(0, 2, 1) + 4 * np.eye(SIZE),
        coupling,
        border,
        rng.normal(0, 1, shared),
        3 * np.eye(shared),
    )


def dense(equations: NormalEquations) -> tuple[Any, Any]:
    shared = len(equations.shared_gradient)
    total = FRAMES * SIZE + shared
    matrix = np.zeros((total, total))
    for t in range(FRAMES):
        rows = slice(SIZE * t, SIZE * (t + 1))
        matrix[rows, rows] = equations.hessian[t]
        matrix[rows, FRAMES * SIZE :] = equations.border[t]
        matrix[FRAMES * SIZE :, rows] = equations.border[t].T
        if t:
            before = slice(SIZE * (t - 1), SIZE * t)
            matrix[rows, before] = matrix[before, rows] = -np.diag(equations.coupling[t])
    matrix[FRAMES * SIZE :, FRAMES * SIZE :] = equations.shared_hessian
    return matrix, np.concatenate([equations.gradient.reshape(-1), equations.shared_gradient])


@pytest.mark.parametrize("shared", [0, SHARED])
def test_the_step_is_that_of_the_dense_matrix(shared: int) -> None:
    equations = random_equations(shared)
    matrix, gradient = dense(equations)
    frames, border = equations.solve()
    step = np.concatenate([frames.reshape(-1), border])
    np.testing.assert_allclose(step, -np.linalg.solve(matrix, gradient), atol=1e-10)


def test_fixed_parameters_stay() -> None:
    equations = random_equations(SHARED).damped(0.1)
    free = np.random.default_rng(1).uniform(size=(FRAMES, SIZE)) < 0.6
    matrix, gradient = dense(equations)
    index = np.concatenate([free.reshape(-1), np.ones(SHARED, dtype=bool)])
    exact = np.zeros(len(gradient))
    exact[index] = -np.linalg.solve(matrix[np.ix_(index, index)], gradient[index])
    frames, shared = equations.restricted(free).solve()
    step = np.concatenate([frames.reshape(-1), shared])
    np.testing.assert_allclose(step, exact, atol=1e-10)
