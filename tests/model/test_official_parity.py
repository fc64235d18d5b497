"""The reference checkpoint against results of the official code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from imavatar_deploy.model import ImplicitAvatar, NetworkSizes

Golden = Mapping[str, NDArray[np.float32]]
FRAMES = (0, 1, 2)
EXACT = 1e-5


def golden(reference: Path, name: str) -> Golden:
    with np.load(reference / "golden" / f"{name}.npz") as data:
        return {key: data[key] for key in data.files}


@pytest.fixture(scope="module")
def networks(reference: Path) -> Golden:
    return golden(reference, "a_networks")


@pytest.fixture(scope="module")
def flame(reference: Path) -> Golden:
    return golden(reference, "b_flame")


@pytest.fixture(scope="module")
def forward(reference: Path) -> Golden:
    return golden(reference, "c_forward_lbs")


@pytest.fixture(scope="module")
def surface(reference: Path) -> Golden:
    return golden(reference, "e_surface")


def tensor(array: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(array)


def test_the_reference_has_the_published_sizes(official: ImplicitAvatar) -> None:
    assert official.sizes == NetworkSizes()


@torch.no_grad()
def test_geometry(official: ImplicitAvatar, networks: Golden) -> None:
    sdf, feature = official.geometry(tensor(networks["points"]))
    assert_allclose(sdf, networks["geometry_output"][:, 0], rtol=0, atol=EXACT)
    assert_allclose(feature, networks["geometry_output"][:, 1:], rtol=0, atol=EXACT)


@torch.no_grad()
def test_deformation(official: ImplicitAvatar, networks: Golden) -> None:
    deformation = official.deformation(tensor(networks["points"]))
    assert_allclose(deformation.expression, networks["shapedirs"], rtol=0, atol=EXACT)
    assert_allclose(deformation.pose, networks["posedirs"], rtol=0, atol=EXACT)
    assert_allclose(deformation.weights, networks["lbs_weights"], rtol=0, atol=EXACT)


@pytest.mark.parametrize("frame", range(8))
def test_bone_transforms(official: ImplicitAvatar, flame: Golden, frame: int) -> None:
    transforms = official.transforms(
        tensor(flame["expression"][frame]), tensor(flame["pose"][frame])
    )
    assert_allclose(
        transforms, flame["transformations_with_identity"][frame, :, :3], rtol=0, atol=EXACT
    )


def test_canonical_pose(official: ImplicitAvatar, flame: Golden) -> None:
    expected = flame["canonical_transformations_with_identity"][0, :, :3]
    assert_allclose(official.canonical_transforms, expected, rtol=0, atol=EXACT)
    assert_allclose(
        official.bones.canonical_feature, flame["canonical_pose_feature"][0], rtol=0, atol=EXACT
    )


@pytest.mark.parametrize("frame", range(8))
def test_head_model_inside_the_checkpoint(
    official: ImplicitAvatar, flame: Golden, frame: int
) -> None:
    vertices = 4.0 * official.head.vertices(flame["expression"][frame], flame["pose"][frame])
    assert_allclose(vertices, flame["vertices"][frame], rtol=0, atol=EXACT)


@pytest.mark.parametrize("frame", FRAMES)
@torch.no_grad()
def test_forward_map(official: ImplicitAvatar, forward: Golden, frame: int) -> None:
    expression = tensor(forward["expression"][frame])
    pose = tensor(forward["pose"][frame])
    deformed = official.deform(tensor(forward["points_c"]), expression, pose)
    assert_allclose(deformed, forward[f"deformed_{frame}"], rtol=0, atol=EXACT)


def jacobian(
    avatar: ImplicitAvatar, x: torch.Tensor, expression: torch.Tensor, pose: torch.Tensor
) -> torch.Tensor:
    """Return d deformed_i / d canonical_j `[N, 3, 3]`."""
    deformed = avatar.deform(x, expression, pose)
    rows = [torch.autograd.grad(deformed[:, i].sum(), x, retain_graph=True)[0] for i in range(3)]
    return torch.stack(rows, dim=1)


@pytest.mark.parametrize("frame", FRAMES)
def test_surface_jacobian_normal_and_colour(
    official: ImplicitAvatar, surface: Golden, frame: int
) -> None:
    expression = tensor(surface["expression"][frame])
    pose = tensor(surface["pose"][frame])
    x = tensor(surface["points_c"]).requires_grad_()
    moved = jacobian(official, x, expression, pose)
    assert_allclose(moved, surface[f"jacobian_{frame}"], rtol=0, atol=EXACT)

    sdf, feature = official.geometry(x)
    assert_allclose(feature.detach(), surface["feature"], rtol=0, atol=EXACT)
    gradient = torch.autograd.grad(sdf.sum(), x)[0]
    normal = torch.nn.functional.normalize(torch.linalg.solve(moved.mT, gradient), dim=-1)
    assert_allclose(normal, surface[f"normals_{frame}"], rtol=0, atol=EXACT)

    with torch.no_grad():
        rgb = official.texture(x, normal, official.condition(expression, pose), feature)
    assert_allclose(2.0 * rgb - 1.0, surface[f"rgb_{frame}"], rtol=1e-4, atol=1e-6)
