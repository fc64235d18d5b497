"""Kinematics: agreement with the official code's outputs, and properties of rotations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import bone_transforms, pose_feature, rotations, skinning_transforms

JOINTS = np.array(
    [[0, -0.1, 0], [0, -0.05, 0], [0, 0, 0.02], [0.03, 0.01, 0.07], [-0.03, 0.01, 0.07]],
    dtype=np.float32,
)
POSE = np.random.default_rng(0).normal(size=15).astype(np.float32)


def apply(transform: np.ndarray, point: np.ndarray) -> np.ndarray:
    return transform[:3, :3] @ point + transform[:3, 3]


def test_quarter_turn_about_x_takes_y_to_z() -> None:
    (turn,) = rotations(np.array([np.pi / 2, 0, 0], dtype=np.float32))
    np.testing.assert_allclose(turn @ [0, 1, 0], [0, 0, 1], atol=1e-6)


def test_rotations_are_rotations() -> None:
    turns = rotations(np.random.default_rng(1).normal(size=(4, 15)).astype(np.float32))
    assert turns.shape == (4, 5, 3, 3)
    np.testing.assert_allclose(
        turns @ turns.swapaxes(-1, -2), np.broadcast_to(np.eye(3), turns.shape), atol=1e-6
    )
    np.testing.assert_allclose(np.linalg.det(turns), 1, atol=1e-6)


def test_rest_pose_moves_nothing() -> None:
    rest = np.zeros(15, dtype=np.float32)
    np.testing.assert_array_equal(pose_feature(rest), 0)
    np.testing.assert_allclose(
        bone_transforms(rest, JOINTS), np.broadcast_to(np.eye(4), (5, 4, 4)), atol=1e-7
    )


def test_global_rotation_does_not_correct() -> None:
    turned = POSE.copy()
    turned[:3] += 1
    np.testing.assert_array_equal(pose_feature(turned), pose_feature(POSE))


def test_children_follow_their_parents() -> None:
    world = bone_transforms(POSE, JOINTS)
    np.testing.assert_allclose(apply(world[0], JOINTS[0]), JOINTS[0], atol=1e-6)
    for bone, parent in ((1, 0), (2, 1), (3, 1), (4, 1)):
        np.testing.assert_allclose(
            apply(world[bone], JOINTS[bone]), apply(world[parent], JOINTS[bone]), atol=1e-6
        )


def test_ghost_bone_comes_first_and_stays() -> None:
    with_ghost = skinning_transforms(POSE, JOINTS, 6)
    np.testing.assert_array_equal(with_ghost[0], np.eye(4))
    np.testing.assert_array_equal(with_ghost[1:], skinning_transforms(POSE, JOINTS, 5))


@pytest.fixture(scope="module")
def golden(reference: Path) -> dict[str, np.ndarray]:
    with np.load(reference / "golden" / "b_flame.npz") as archive:
        return dict(archive)


def test_pose_feature_is_the_official_one(golden: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(
        pose_feature(golden["pose"]), golden["pose_feature"], rtol=0, atol=1e-6
    )


def test_transforms_are_the_official_ones(golden: dict[str, np.ndarray]) -> None:
    subject = replace(
        HeadModel.load("openhead"), template=golden["v_template_subject_x4"] / UNITS_PER_METRE
    )
    for expression, pose, expected in zip(
        golden["expression"], golden["pose"], golden["transformations_with_identity"], strict=True
    ):
        ours = skinning_transforms(pose, subject.joints(expression) * UNITS_PER_METRE, 6)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-6)
