"""The forward map of an avatar with random weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from imavatar_deploy import kinematics
from imavatar_deploy.errors import InputError
from imavatar_deploy.model import ImplicitAvatar, NetworkSizes
from imavatar_deploy.model.frame import Frame as Driving
from imavatar_deploy.model.head_avatar import SurfacePoints

Frame = tuple[torch.Tensor, torch.Tensor]


@pytest.mark.parametrize("bones", [5, 6])
@torch.no_grad()
def test_forward_map_is_the_equation(
    make_avatar: Callable[..., ImplicitAvatar], points: torch.Tensor, frame: Frame, bones: int
) -> None:
    avatar = make_avatar(bones=bones)
    expression, pose = frame
    psi = expression.numpy()
    theta = pose.numpy()
    basis, correctives, weights = (field.numpy() for field in avatar.deformation(points))

    def blended(pose: np.ndarray, joints: np.ndarray) -> np.ndarray:
        return np.einsum(
            "nj,jrc->nrc", weights, kinematics.skinning_transforms(pose, joints, bones)
        )

    opened = np.zeros(15, dtype=np.float32)
    opened[6] = 0.2
    x = np.column_stack([points.numpy(), np.ones(len(points))])
    rest = np.linalg.solve(blended(opened, avatar.joints_rest), x[..., None])[:, :3, 0]
    rest -= np.einsum("nfc,f->nc", correctives, kinematics.pose_feature(opened))
    shaped = (
        rest + basis @ psi + np.einsum("nfc,f->nc", correctives, kinematics.pose_feature(theta))
    )
    joints = avatar.joints_rest + np.tensordot(psi, avatar.joint_basis, axes=1)
    transforms = blended(theta, joints)
    expected = np.einsum("nrc,nc->nr", transforms[:, :3, :3], shaped) + transforms[:, :3, 3]

    assert_allclose(avatar.rest(points, avatar.deformation(points)), rest, atol=1e-5)
    assert_allclose(avatar.deform(points, expression, pose), expected, atol=1e-5)


@torch.no_grad()
def test_points_do_not_move_in_the_canonical_pose_and_expression(
    small: ImplicitAvatar, points: torch.Tensor
) -> None:
    deformed = small.deform(points, torch.zeros(50), small.canonical_pose)
    torch.testing.assert_close(deformed, points, atol=1e-5, rtol=0)


def test_joints_are_the_head_models_in_model_units(small: ImplicitAvatar, frame: Frame) -> None:
    expression = frame[0].numpy()
    joints = small.joints_rest + np.tensordot(expression, small.joint_basis, axes=1)
    assert_allclose(joints, 4.0 * small.head.joints(expression), atol=1e-6)


def test_gradients_reach_point_expression_and_pose(
    small: ImplicitAvatar, points: torch.Tensor, frame: Frame
) -> None:
    x, expression, pose = (tensor.clone().requires_grad_() for tensor in (points, *frame))
    small.deform(x, expression, pose).square().sum().backward()
    for tensor in (x, expression, pose):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()
        assert (tensor.grad != 0).all()


def test_state_contains_the_networks_only(small: ImplicitAvatar) -> None:
    assert {name.split(".")[0] for name in small.state_dict()} == {
        "geometry",
        "deformation",
        "texture",
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((torch.zeros(4, 2), torch.zeros(50), torch.zeros(15)), r"points must have shape \[N, 3\]"),
        (
            (torch.zeros(4, 3), torch.zeros(49), torch.zeros(15)),
            r"expression must have shape \[50\], got \[49\]",
        ),
        (
            (torch.zeros(4, 3), torch.zeros(50), torch.zeros(6)),
            r"pose must have shape \[15\], got \[6\]",
        ),
    ],
)
def test_wrong_shapes(
    small: ImplicitAvatar, arguments: tuple[torch.Tensor, ...], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        small.deform(*arguments)


@pytest.mark.parametrize("network", ["geometry", "deformation"])
def test_networks_check_their_points(small: ImplicitAvatar, network: str) -> None:
    with pytest.raises(InputError, match=r"points must have shape \[N, 3\], got \[5, 2\]"):
        getattr(small, network)(torch.zeros(5, 2))


def test_sizes_must_fit_the_head_model(small: ImplicitAvatar) -> None:
    with pytest.raises(InputError, match="needs 50 expressions and a condition of 53"):
        ImplicitAvatar(small.head, NetworkSizes(expressions=49))


@torch.no_grad()
def test_noise_changes_the_condition_of_colours_only(
    small: ImplicitAvatar, points: torch.Tensor, frame: Frame
) -> None:
    surface = SurfacePoints(
        points, torch.nn.functional.normalize(points, dim=1), small.geometry(points), points
    )
    noise = torch.zeros(len(points), 53)
    noise[::2, 3] = 0.7
    noise[::2, 50] = -0.4  # the jaw's first angle
    moved = Driving(frame[0] + noise[0, :50], frame[1].clone())
    moved.pose[6] -= 0.4
    noisy = small.colour(surface, Driving(*frame), noise)
    torch.testing.assert_close(noisy[::2], small.colour(surface, moved)[::2])
    torch.testing.assert_close(noisy[1::2], small.colour(surface, Driving(*frame))[1::2])
    assert not torch.allclose(noisy[::2], noisy[1::2].mean(dim=0))
