"""The animator and the normals against their reference implementations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import rotations
from imavatar_deploy.rendering.posing import (
    BLOCK,
    Animator,
    SurfaceNormals,
    VertexNormals,
    pose_plainly,
    surface_normals,
    vertex_normals,
)
from imavatar_deploy.rendering.workers import Workers

from ..shapes import closed_sphere
from ..tiny_avatar import tiny_avatar


def motion(seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=50).astype(np.float32), (0.3 * rng.normal(size=15)).astype(np.float32)


@pytest.mark.parametrize("bones", [5, 6], ids="{} bones".format)
@pytest.mark.parametrize(
    ("rings", "sectors"), [(4, 5), (18, 20)], ids=["part of a block", "more than a block"]
)
def test_animator_agrees_with_the_plain_way(
    bones: int, rings: int, sectors: int, workers: Workers
) -> None:
    avatar = tiny_avatar(rings, sectors, bones)
    assert (avatar.vertex_count > BLOCK) == (rings == 18)
    animator = Animator(avatar, workers)
    for seed in range(3):
        np.testing.assert_allclose(
            animator(*motion(seed))[0], pose_plainly(avatar, *motion(seed))[0], atol=2e-6
        )


def test_plain_way_is_the_head_model_s_own(avatar: Avatar) -> None:
    """The same arrays in a `HeadModel` give the same vertices."""
    five = tiny_avatar(bones=5)
    regressor = np.zeros((5, five.vertex_count), dtype=np.float32)
    head = HeadModel(
        template=np.ascontiguousarray(five.rest.T),
        faces=five.faces,
        shape_basis=np.zeros((five.vertex_count, 3, 0), dtype=np.float32),
        expression_basis=np.ascontiguousarray(five.expression_basis.transpose(2, 1, 0)),
        pose_basis=np.ascontiguousarray(five.pose_basis.transpose(2, 1, 0)),
        joint_regressor=regressor,
        weights=np.ascontiguousarray(five.skin_weights.T),
        edition=five.edition,
        expression_names=five.expression_names,
    )
    still = {name: np.zeros_like(getattr(five, name)) for name in ("joints_rest", "joint_basis")}
    at_origin = Avatar(
        **(five.arrays() | still),
        edition=five.edition,
        expression_names=five.expression_names,  # type: ignore[arg-type]
    )
    np.testing.assert_allclose(
        pose_plainly(at_origin, *motion(1)).vertices, head.vertices(*motion(1)), atol=2e-6
    )


def test_zero_coefficients_are_the_rest_pose(avatar: Avatar, workers: Workers) -> None:
    still = Animator(avatar, workers)(
        np.zeros(50, dtype=np.float32), np.zeros(15, dtype=np.float32)
    )
    np.testing.assert_allclose(still.vertices, avatar.rest.T, atol=1e-6)


def test_threads_do_not_change_a_bit(avatar: Avatar, workers: Workers) -> None:
    with Workers(1) as alone:
        expected = Animator(avatar, alone)(*motion(4))
    np.testing.assert_array_equal(Animator(avatar, workers)(*motion(4)).vertices, expected.vertices)


def test_animator_leaves_the_avatar_alone(avatar: Avatar, workers: Workers) -> None:
    before = {name: array.copy() for name, array in avatar.arrays().items()}
    posed = Animator(avatar, workers)(*motion(2))
    SurfaceNormals(avatar, workers)(posed)[:] = 0
    posed.vertices[:] = 0
    for name, array in avatar.arrays().items():
        np.testing.assert_array_equal(array, before[name])


def test_normals_agree_with_the_plain_way(workers: Workers) -> None:
    rng = np.random.default_rng(0)
    sphere, faces = closed_sphere(15, 17)
    normals = VertexNormals(faces, len(sphere), workers)
    for _ in range(3):
        vertices = sphere + 0.05 * rng.normal(size=sphere.shape).astype(np.float32)
        np.testing.assert_allclose(normals(vertices), vertex_normals(vertices, faces), atol=1e-5)


def test_surface_normals_agree_with_the_plain_way(avatar: Avatar, workers: Workers) -> None:
    normals = SurfaceNormals(avatar, workers)
    for seed in range(3):
        posed = pose_plainly(avatar, *motion(seed))
        np.testing.assert_allclose(normals(posed), surface_normals(avatar, posed), atol=1e-5)
        assert np.abs(normals(posed) - vertex_normals(posed.vertices, avatar.faces)).max() > 0.05, (
            "the detail counts"
        )


def test_detail_turns_with_the_head(workers: Workers) -> None:
    """Normals with detail rotate with the head."""
    avatar = tiny_avatar(bones=5)
    still = np.zeros(15, dtype=np.float32)
    turned = np.zeros(15, dtype=np.float32)
    turned[:3] = 0.3, -0.8, 0.5
    neutral = np.zeros(50, dtype=np.float32)
    normals = SurfaceNormals(avatar, workers)
    animator = Animator(avatar, workers)
    before = normals(animator(neutral, still)).copy()
    after = normals(animator(neutral, turned))
    np.testing.assert_allclose(after, before @ rotations(turned)[0].T, atol=1e-4)


def test_normals_of_a_sphere_point_outwards(workers: Workers) -> None:
    sphere, faces = closed_sphere(40, 60)
    np.testing.assert_allclose(
        VertexNormals(faces, len(sphere), workers)(sphere), sphere, atol=0.02
    )


def test_vertices_without_area_have_normal_zero(workers: Workers) -> None:
    vertices = np.array(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5], [1, 1, 1], [1, 1, 1]], dtype=np.float32
    )
    faces = np.array([[0, 1, 2], [4, 5, 4]], dtype=np.int32)
    normals = VertexNormals(faces, len(vertices), workers)(vertices)
    np.testing.assert_array_equal(normals, [[0, 0, 1]] * 3 + [[0, 0, 0]] * 3)
