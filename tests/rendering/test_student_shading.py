"""The student's pixel loop against its reference, for all widths, points and threads."""

from __future__ import annotations

import numpy as np
import pytest

from imavatar_deploy.rendering.student_shading import LANES, _sigmoid, student_colours
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.student import WIDTHS, Student, colours_plainly

from ..students import random_student


@pytest.mark.parametrize("width", WIDTHS)
def test_pixel_loop_follows_the_formula(width: int, workers: Workers) -> None:
    student = random_student(vertices=200, width=width)
    rng = np.random.default_rng(1)
    normal = rng.normal(size=(200, 3)).astype(np.float32)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    condition = rng.random((1, 53)).astype(np.float32)
    truth = colours_plainly(student, student.features, normal, condition)
    assert np.ptp(truth, axis=0).min() > 0.2
    for count in (1, LANES - 1, LANES, LANES + 1, 200):
        colours = student_colours(
            student, student.features[:count], normal[:count], condition, workers
        )
        np.testing.assert_allclose(colours, truth[:count], atol=5e-6)


def test_normals_of_any_length_are_directions() -> None:
    student: Student = random_student(vertices=40, width=16)
    normal = np.random.default_rng(2).normal(size=(40, 3)).astype(np.float32)
    condition = np.zeros((1, 53), dtype=np.float32)
    with Workers(1) as workers:
        long, short = (
            student_colours(student, student.features, scale * normal, condition, workers)
            for scale in (7.0, 0.1)
        )
        nowhere = student_colours(student, student.features, 0 * normal, condition, workers)
    np.testing.assert_allclose(long, short, atol=2e-6)
    np.testing.assert_allclose(
        nowhere, colours_plainly(student, student.features, 0 * normal, condition), atol=5e-6
    )


def test_sigmoid_is_one() -> None:
    for x in np.linspace(-40, 40, 401, dtype=np.float32):
        assert abs(float(_sigmoid(x)) - 1 / (1 + np.exp(-float(x)))) < 1e-6
