"""Differentiable kinematics against those of NumPy, and skinning against its inverse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from imavatar_deploy import kinematics
from imavatar_deploy.model import skinning

JOINTS = np.random.default_rng(5).normal(0.0, 0.3, (5, 3)).astype(np.float32)
POSES = {
    "zero": np.zeros(15, dtype=np.float32),
    "random": np.random.default_rng(6).normal(0.0, 0.5, 15).astype(np.float32),
}


@pytest.mark.parametrize("pose", POSES.values(), ids=POSES.keys())
@pytest.mark.parametrize("bones", [5, 6])
def test_agrees_with_the_numpy_kinematics(pose: np.ndarray, bones: int) -> None:
    theta = torch.from_numpy(pose)
    joints = torch.from_numpy(JOINTS)
    assert_allclose(skinning.rotations(theta), kinematics.rotations(pose), atol=1e-6)
    assert_allclose(skinning.pose_feature(theta), kinematics.pose_feature(pose), atol=1e-6)
    expected = kinematics.skinning_transforms(pose, JOINTS, bones)[:, :3]
    assert_allclose(skinning.skinning_transforms(theta, joints, bones), expected, atol=1e-6)


def test_poses_in_a_batch() -> None:
    poses = torch.from_numpy(np.stack(list(POSES.values())))
    joints = torch.from_numpy(JOINTS)
    batched = skinning.skinning_transforms(poses, joints, 6)
    alone = [skinning.skinning_transforms(pose, joints, 6) for pose in poses]
    torch.testing.assert_close(batched, torch.stack(alone))


def test_unskin_undoes_skin(points: torch.Tensor) -> None:
    transforms = skinning.skinning_transforms(
        torch.from_numpy(POSES["random"]), torch.from_numpy(JOINTS), 6
    )
    weights = torch.rand(len(points), 6).softmax(dim=-1)
    posed = skinning.skin(points, weights, transforms)
    assert (posed - points).norm(dim=-1).max() > 0.1
    torch.testing.assert_close(
        skinning.unskin(posed, weights, transforms), points, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("pose", POSES.values(), ids=POSES.keys())
def test_gradients_reach_the_pose(pose: np.ndarray) -> None:
    joints = torch.from_numpy(JOINTS).double()
    theta = torch.from_numpy(pose).double().requires_grad_()
    if pose.any():
        torch.autograd.gradcheck(lambda t: skinning.bone_transforms(t, joints), theta)
    single = torch.from_numpy(pose).requires_grad_()
    gradient = torch.autograd.grad(skinning.rotations(single)[:, 2, 1].sum(), single)[0]
    assert torch.isfinite(gradient).all()
    assert (gradient[::3].abs() > 0.5).all()
