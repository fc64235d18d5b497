"""Baking: vertices, normals and texture codes of a baked avatar against the networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar import Avatar, canonical_pose
from imavatar_deploy.errors import InternalError
from imavatar_deploy.exporters.bake import CODE_TOLERANCE, Bake, bake
from imavatar_deploy.exporters.fidelity.reference_poses import reference_poses
from imavatar_deploy.exporters.formats.onnx_modules import BakedTexture
from imavatar_deploy.exporters.mesh_cleanup import simplify
from imavatar_deploy.exporters.texture_code import ShadedPoints, first_layer_of_point, texture_code
from imavatar_deploy.kinematics import pose_feature, skinning_transforms
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.extract import extract, field_of
from imavatar_deploy.model.surface.mesh import Mesh


@pytest.fixture(scope="module")
def mesh(avatar: ImplicitAvatar) -> Mesh:
    return simplify(extract(field_of(avatar), resolution=64), 1000)


@pytest.fixture(scope="module")
def baked(avatar: ImplicitAvatar, mesh: Mesh) -> Bake:
    return bake(avatar, mesh)


def deformed(
    avatar: Avatar, expression: Float32[Array, " E"], pose: Float32[Array, "15"]
) -> Float32[Array, "V 3"]:
    """[V, 3] by the formula in `Avatar`'s docstring, on the baked arrays alone."""
    shaped = avatar.rest + np.tensordot(expression, avatar.expression_basis, axes=1)
    shaped = shaped + np.tensordot(pose_feature(pose), avatar.pose_basis, axes=1)
    bones = skinning_transforms(pose, avatar.joints(expression), avatar.bone_count)
    blended = np.einsum("jv,jrc->vrc", avatar.skin_weights, bones[:, :3])
    return np.asarray(
        np.einsum("vrc,cv->vr", blended[..., :3], shaped) + blended[..., 3], dtype=np.float32
    )


def test_moves_every_vertex_as_the_networks_do(
    avatar: ImplicitAvatar, baked: Bake, mesh: Mesh
) -> None:
    poses, points = reference_poses("openhead"), torch.from_numpy(mesh.vertices)
    for expression, pose in zip(poses.expression, poses.pose, strict=True):
        with torch.inference_mode():
            truth = avatar.deform(
                points, torch.from_numpy(expression), torch.from_numpy(pose)
            ).numpy()
        np.testing.assert_allclose(deformed(baked.avatar, expression, pose), truth, atol=1e-5)
    assert np.abs(truth - mesh.vertices).max() > 0.05  # they do move


def test_normals_are_the_fields_in_the_canonical_pose(
    avatar: ImplicitAvatar, baked: Bake, mesh: Mesh
) -> None:
    bones = skinning_transforms(
        canonical_pose(), baked.avatar.joints(np.zeros(50, np.float32)), baked.avatar.bone_count
    )
    detail = np.einsum(
        "jv,jrc,cv->vr", baked.avatar.skin_weights, bones[:, :3, :3], baked.avatar.normal_detail
    )
    _, gradient = field_of(avatar).values_and_gradients(mesh.vertices, lambda steps: None)
    truth = gradient / np.linalg.norm(gradient, axis=1, keepdims=True)
    assert np.abs(mesh.vertex_normals() - truth).max() > 1e-2
    np.testing.assert_allclose(mesh.vertex_normals() + detail, truth, atol=1e-5)


def test_keeps_the_mesh_and_the_names(avatar: ImplicitAvatar, baked: Bake, mesh: Mesh) -> None:
    np.testing.assert_array_equal(baked.avatar.canonical.T, mesh.vertices)
    np.testing.assert_array_equal(baked.avatar.faces, mesh.faces)
    assert baked.avatar.edition == "openhead"
    assert baked.avatar.expression_names == avatar.expression_names


class TestTextureCode:
    def test_is_short_and_loses_little(
        self, avatar: ImplicitAvatar, baked: Bake, mesh: Mesh
    ) -> None:
        """On other normals and in another frame than those on which its size is selected."""
        width = avatar.sizes.texture_layers[0]
        assert baked.code.code.shape == (len(mesh.vertices), len(baked.code.decode))
        assert len(baked.code.decode) < width
        assert baked.code.loss <= CODE_TOLERANCE
        normals = torch.nn.functional.normalize(
            torch.randn(len(mesh.vertices), 3, generator=torch.manual_seed(0)), dim=1
        )
        condition = torch.from_numpy(reference_poses("openhead").condition[6])
        with torch.inference_mode():
            truth = avatar.texture(
                torch.from_numpy(mesh.vertices), normals, condition, baked.feature
            )
            network = BakedTexture(avatar.texture, baked.code.decode, baked.code.mean)
            colours = network(torch.from_numpy(baked.code.code), normals, condition[None])
        assert truth.std(dim=0).min() > 0.01
        assert float((colours - truth).abs().max()) < 2 * CODE_TOLERANCE

    def test_holds_the_first_layer(self, avatar: ImplicitAvatar, baked: Bake, mesh: Mesh) -> None:
        with torch.inference_mode():
            truth = first_layer_of_point(
                avatar.texture, torch.from_numpy(mesh.vertices), baked.feature
            ).numpy()
        decoded = baked.code.code @ baked.code.decode + baked.code.mean
        assert np.abs(decoded - truth).max() < 1e-3 * np.abs(truth).max()

    def test_gets_longer_when_less_may_be_lost(
        self, avatar: ImplicitAvatar, baked: Bake, mesh: Mesh
    ) -> None:
        shaded = ShadedPoints(
            torch.from_numpy(mesh.vertices),
            baked.feature,
            torch.from_numpy(mesh.vertex_normals().astype(np.float32))[None],
            torch.zeros(1, 53),
        )
        sizes = [
            len(texture_code(avatar.texture, shaded, tolerance=limit).decode)
            for limit in (1e-1, 1e-3, 1e-5)
        ]
        assert sizes[0] < sizes[1] < sizes[2]
        with pytest.raises(InternalError, match="changes a colour by"):
            texture_code(avatar.texture, shaded, tolerance=0.0)


@pytest.mark.parametrize("edition", ["openhead", "flame2020"])
def test_reference_poses_are_plausible_and_cover_a_wide_range(edition: str) -> None:
    poses = reference_poses(edition)
    assert not poses.expression[0].any()
    assert not poses.pose[0].any()
    assert np.abs(poses.pose).max() <= 0.6
    assert np.abs(poses.expression).max() == {"openhead": 1.0, "flame2020": 2.0}[edition]
    assert all(np.abs(poses.pose[:, bone : bone + 3]).max() > 0.05 for bone in range(0, 15, 3))
    assert np.abs(poses.expression[1:4]).sum(axis=1).all()
