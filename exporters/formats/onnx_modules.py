"""Torch modules of the exported graphs, made of plain layers with weight norm folded in.

The layers are new ones: removing parametrisations from a deep copy breaks the original network.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from imavatar_deploy.arrays import Array, Float32, Int32, Int64
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.model.deformation import LOGIT_SCALE, DeformationNetwork
from imavatar_deploy.model.layers import encode, smooth
from imavatar_deploy.model.skinning import pose_feature, skinning_transforms
from imavatar_deploy.model.texture import TextureNetwork

ZERO_ANGLE = 1e-8
"""Radians that replace smaller angles.

FLAME prevents 0/0 by adding this number inside a norm; the ONNX exporter's optimiser removes such
an addition.
"""


def folded_parameters(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight `[out, in]` and bias `[out]` of a linear layer, with weight norm folded in."""
    linear = cast(nn.Linear, layer)
    return linear.weight.detach(), linear.bias.detach()


def plain(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer that owns copies of `weight` `[out, in]` and `bias` `[out]`."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer.requires_grad_(False)


def _plain_layers(layers: Iterable[nn.Module]) -> nn.ModuleList:
    return nn.ModuleList(plain(*folded_parameters(layer)) for layer in layers)


class BakedTexture(nn.Module):
    """The texture network on texture codes instead of points.

    Args:
        network: the texture network.
        decode: `[K, H]` decoder of the codes (`texture_code.TextureCode`).
        mean: `[H]` mean of the decoded vectors.
    """

    def __init__(
        self,
        network: TextureNetwork,
        decode: Float32[Array, "K H"],
        mean: Float32[Array, " H"],
    ) -> None:
        super().__init__()
        (first, _), columns, squeeze = (
            folded_parameters(network.layers[0]),
            network.inputs,
            network.bottleneck,
        )
        of_condition = first[:, columns.condition]
        to_first = torch.cat(
            [torch.from_numpy(decode).to(first).T, first[:, columns.normal]], dim=1
        )
        constant = torch.from_numpy(mean).to(first) + of_condition @ squeeze.bias
        self.of_point = plain(to_first, torch.zeros_like(constant))
        self.of_condition = plain(of_condition @ squeeze.weight, constant)
        self.layers = _plain_layers(network.layers[1:])

    def forward(self, code: Tensor, normal: Tensor, condition: Tensor) -> Tensor:
        """Colours `[N, 3]` in 0..1.

        Args:
            code: `[N, K]` texture codes.
            normal: `[N, 3]` unit normals of the deformed surface.
            condition: `[1, 53]` expression and jaw, one for all points.
        """
        hidden = self.of_point(torch.cat([code, normal], dim=-1)) + self.of_condition(condition)
        for layer in self.layers:
            hidden = layer(torch.relu(hidden))
        return (torch.tanh(hidden) + 1.0) / 2.0


class PlainDeformation(nn.Module):
    """The deformation network with plain layers."""

    def __init__(self, network: DeformationNetwork) -> None:
        super().__init__()
        self.frequencies = network.frequencies
        self.layers = _plain_layers(network.layers)
        self.blendshapes = plain(*folded_parameters(network.blendshapes))
        self.skinning_hidden = plain(*folded_parameters(network.skinning_hidden))
        self.skinning = plain(*folded_parameters(network.skinning))
        self.expressions = network.expressions

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Deformation at canonical points `[N, 3]`, model units.

        Returns:
            Expression basis `[N, 3, E]`, pose basis `[N, 36, 3]` and skinning weights `[N, J]`,
            with the layouts of `imavatar_deploy.model.deformation`.
        """
        hidden = encode(points, self.frequencies)
        for layer in self.layers:
            hidden = smooth(layer(hidden))
        blendshapes = self.blendshapes(hidden)
        pose = blendshapes[:, : -3 * self.expressions]
        expression = blendshapes[:, -3 * self.expressions :]
        weights = (LOGIT_SCALE * self.skinning(smooth(self.skinning_hidden(hidden)))).softmax(
            dim=-1
        )
        return (
            expression.reshape(-1, 3, self.expressions),
            pose.reshape(-1, pose.shape[1] // 3, 3),
            weights,
        )


class AnimatedMesh(nn.Module):
    """Vertices and normals of a baked avatar in N frames (IMavatar, equations 2 to 4).

    The arrays are planar, so that operations along V are contiguous. Normals are computed by a
    gather over the faces around each vertex, padded to the same number, since a scatter is slow or
    missing on many platforms.
    """

    rest: Tensor  # [3 V]
    basis: Tensor  # [E + 36, 3 V]
    weights: Tensor  # [J, V]
    detail: Tensor  # [3, V]
    joints_rest: Tensor  # [15]
    joint_basis: Tensor  # [E, 15]
    corners: Tensor  # [3, F]
    ring: Tensor  # [D, V]

    def __init__(self, avatar: Avatar) -> None:
        super().__init__()
        self.bones = avatar.bone_count
        basis = np.concatenate([avatar.expression_basis, avatar.pose_basis])
        arrays = {
            "rest": avatar.rest.reshape(-1),
            "basis": basis.reshape(len(basis), -1),
            "weights": avatar.skin_weights,
            "detail": avatar.normal_detail,
            "joints_rest": avatar.joints_rest.reshape(-1),
            "joint_basis": avatar.joint_basis.reshape(len(avatar.joint_basis), -1),
            "corners": avatar.faces.T.astype(np.int64),
            "ring": face_rings(avatar.faces, avatar.vertex_count),
        }
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)))

    def forward(self, expression: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
        """Vertices `[N, 3, V]`, model units, and unit normals `[N, 3, V]`.

        Args:
            expression: `[N, E]` coefficients.
            pose: `[N, 15]` axis-angles, radians.
        """
        pose = torch.where(pose.abs() < ZERO_ANGLE, torch.full_like(pose, ZERO_ANGLE), pose)
        coefficients = torch.cat([expression, pose_feature(pose)], dim=-1)
        shaped = (self.rest + coefficients @ self.basis).reshape(-1, 3, self.weights.shape[1])
        joints = (self.joints_rest + expression @ self.joint_basis).reshape(
            -1, len(self.joints_rest) // 3, 3
        )
        bones = skinning_transforms(pose, joints, self.bones)  # [N, J, 3, 4]
        blended = bones.permute(0, 2, 3, 1) @ self.weights  # [N, 3, 4, V]
        vertices = (blended[:, :, :3] * shaped[:, None]).sum(dim=2) + blended[:, :, 3]
        detail = (blended[:, :, :3] * self.detail).sum(dim=2)
        return vertices, _unit(self._normals_of_mesh(vertices) + detail)

    def _normals_of_mesh(self, vertices: Tensor) -> Tensor:
        """[N, 3, V] unit normals: normalised sums of the area vectors of faces around a vertex."""
        # Gathering whole points copies a third as many pieces as gathering planes.
        points = vertices.permute(2, 0, 1)
        a, b, c = (points.index_select(0, corner) for corner in self.corners)
        area = _cross(b - a, c - a)
        # A face of no area for `ring`. Pad would do, too, but has no form in older opsets.
        area = torch.cat([area, torch.zeros_like(area[:1])])
        total = area.index_select(0, self.ring[0])
        for nth_face in self.ring[1:]:
            total = total + area.index_select(0, nth_face)
        return _unit(total.permute(1, 2, 0))


def _unit(vectors: Tensor) -> Tensor:
    """[N, 3, V] vectors of length one; zero vectors stay zero."""
    unit: Tensor = vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-20)
    return unit


def _cross(u: Tensor, v: Tensor) -> Tensor:
    """[..., 3] u x v by components; `torch.linalg.cross` exports as slow gathers."""
    ux, uy, uz = u.unbind(dim=-1)
    vx, vy, vz = v.unbind(dim=-1)
    return torch.stack([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx], dim=-1)


def face_rings(faces: Int32[Array, "F 3"], vertices: int) -> Int64[Array, "D V"]:
    """Faces around each vertex; the index F, a face of no area, pads vertices with fewer than D."""
    order = np.argsort(faces.reshape(-1), kind="stable")
    owner = faces.reshape(-1)[order]
    counts = np.bincount(owner, minlength=vertices)
    row = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    rings = np.full((counts.max(initial=0), vertices), len(faces), dtype=np.int64)
    rings[row, owner] = order // 3
    return rings
