"""LandmarkModel: its points against HeadModel, its derivatives against finite differences."""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.head_fit.landmark_model import LandmarkModel, used_shape_coefficients
from imavatar_deploy.head_model import HeadModel


@lru_cache(maxsize=1)
def openhead() -> HeadModel:
    return HeadModel.load("openhead")


def random_points(head: HeadModel, count: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return SimpleNamespace(
        triangles=rng.integers(0, len(head.faces), count).astype(np.int32),
        barycentric=rng.dirichlet(np.ones(3), count).astype(np.float32),
    )


def random_state(seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    expression = rng.uniform(0, 0.6, (3, 50))
    pose = rng.normal(0, 0.3, (3, 15))
    pose[2, :6] = 0.0
    return expression, pose, rng.normal(0, 1, 30)


def with_all_correctives(head: HeadModel) -> HeadModel:
    rng = np.random.default_rng(3)
    basis = rng.normal(0, 1e-3, head.pose_basis.shape).astype(np.float32)
    return HeadModel(**{**vars(head), "pose_basis": basis})


def test_points_are_those_of_the_head_model() -> None:
    head = openhead()
    points = random_points(head, 300)
    expression, pose, shape = random_state()
    model = LandmarkModel.of(head, points)
    assert model.shape_size == used_shape_coefficients(head) == 30
    fit = model.posed(expression, pose, shape).points
    subject = head.for_subject(shape)
    for frame in range(3):
        vertices = subject.vertices(
            expression[frame].astype(np.float32), pose[frame].astype(np.float32)
        )
        corners = vertices[head.faces[points.triangles]]
        exact = np.einsum("lc,lci->li", points.barycentric, corners) * UNITS_PER_METRE
        error = np.linalg.norm(fit[frame] - exact, axis=1) / UNITS_PER_METRE
        assert error.max() < 4e-4
        assert error.mean() < 1e-5


def test_vertices_are_exact() -> None:
    head = with_all_correctives(openhead())
    chosen = np.arange(0, len(head.template), 17)
    expression, pose, shape = random_state(1)
    fit = LandmarkModel.of_vertices(head, chosen).posed(expression, pose, shape).points
    vertices = head.for_subject(shape).vertices(
        expression[0].astype(np.float32), pose[0].astype(np.float32)
    )
    np.testing.assert_allclose(fit[0], vertices[chosen] * UNITS_PER_METRE, atol=3e-6)


@pytest.mark.parametrize("correctives", ["jaw", "all"])
def test_derivatives_are_those_of_finite_differences(correctives: str) -> None:
    head = openhead() if correctives == "jaw" else with_all_correctives(openhead())
    model = LandmarkModel.of(head, random_points(head, 60))
    if correctives == "all":
        model = model.with_offsets(np.random.default_rng(4).normal(0, 0.02, (3, 60, 3)))
    expression, pose, shape = random_state(2)
    fit = model.posed(expression, pose, shape, derivatives=True, by_shape=True)
    assert fit.by_frame is not None
    assert fit.by_shape is not None
    step = 1e-6
    for index in range(65):
        shifted = np.concatenate([expression, pose], axis=1)
        shifted[:, index] += step
        ahead = model.posed(shifted[:, :50], shifted[:, 50:], shape).points
        shifted[:, index] -= 2 * step
        behind = model.posed(shifted[:, :50], shifted[:, 50:], shape).points
        np.testing.assert_allclose(
            fit.by_frame[..., index], (ahead - behind) / (2 * step), atol=2e-7
        )
    for index in range(30):
        changed = shape + step * np.eye(30)[index]
        ahead = model.posed(expression, pose, changed).points
        np.testing.assert_allclose(fit.by_shape[..., index], (ahead - fit.points) / step, atol=2e-7)


def test_a_shape_becomes_part_of_the_template() -> None:
    model = LandmarkModel.of(openhead(), random_points(openhead(), 40))
    expression, pose, shape = random_state(3)
    fixed = model.with_shape(shape).posed(expression, pose, np.zeros(0)).points
    np.testing.assert_allclose(fixed, model.posed(expression, pose, shape).points, atol=1e-12)


def test_a_subset_keeps_its_points() -> None:
    model = LandmarkModel.of(openhead(), random_points(openhead(), 40))
    expression, pose, shape = random_state(4)
    chosen = np.array([3, 17, 20])
    part = model.subset(chosen).posed(expression, pose, shape).points
    np.testing.assert_allclose(part, model.posed(expression, pose, shape).points[:, chosen])
