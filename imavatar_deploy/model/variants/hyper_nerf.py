"""HyperNeRF conditioned on a head model: a deformable radiance field (IMavatar, table 1).

HyperNeRF (Park et al. 2021, "A higher-dimensional representation for topologically varying neural
radiance fields") maps every point of a frame to a point of a template and to ambient coordinates,
by networks that take a learned code of the frame:

    x' = T(x, code)            warp field, a rigid motion of each point
    w  = H(x, code)            ambient slicing surface
    density, colour = F(x', w, direction)

As the comparison of the IMavatar paper, this variant takes expression and pose for the code. The
warp is that of Nerfies (Park et al. 2021): a screw motion exp(r, v).

Differences from HyperNeRF: the rigid motion of the head is undone before, as in the other backward
baselines; sizes and encodings are those of the variants' networks; one network finds the samples
and renders them, instead of a coarse and a fine one; frequencies are not annealed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.backward_avatar import FRAME_SIZE, HEAD_BONE, undo_head
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.geometry import Geometry
from imavatar_deploy.model.head_avatar import VariantRow
from imavatar_deploy.model.layers import DIMENSIONS, encode, encoded_size, smooth, smooth_layers
from imavatar_deploy.model.radiance_field import RadianceFieldModel
from imavatar_deploy.model.sizes import NetworkSizes

AMBIENT = 2
"""Ambient coordinates, as in HyperNeRF's experiments."""

SLICE_SCALE = 0.01
"""Standard deviation of the weights of the slicing network's last layer. With zeros neither these
weights nor those of the geometry network's ambient inputs would have a gradient."""

SMALL_ANGLE = 1e-8
"""Added to squared angles, so that their square root has a gradient at zero."""


class FrameField(nn.Module):
    """Map points and the frame condition to vectors; layers as of the deformation network.

    Args:
        sizes: `deformation_layers` and `deformation_frequencies`.
        outputs: length of the vectors.
        scale: standard deviation of the initial weights of the last layer.
    """

    def __init__(self, sizes: NetworkSizes, outputs: int, scale: float) -> None:
        super().__init__()
        self.frequencies = sizes.deformation_frequencies
        self.layers = smooth_layers(
            (encoded_size(self.frequencies) + FRAME_SIZE, *sizes.deformation_layers)
        )
        self.output = nn.Linear(sizes.deformation_layers[-1], outputs)
        with torch.no_grad():
            self.output.weight.normal_(0.0, scale)
            self.output.bias.zero_()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return vectors `[N, outputs]` at points `[N, 3]`, model units, for a condition `[65]`."""
        hidden = torch.cat([encode(x, self.frequencies), condition.expand(x.shape[0], -1)], dim=-1)
        for layer in self.layers:
            hidden = smooth(layer(hidden))
        vectors: Tensor = self.output(hidden)
        return vectors


class HyperNeRF(RadianceFieldModel):
    """A radiance field with a warp field and ambient slicing surfaces, driven by a head model."""

    name = "hyper-nerf"

    def __init__(
        self,
        head: HeadModel,
        sizes: NetworkSizes | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(head, sizes, provenance, condition=AMBIENT)
        self.warp = FrameField(self.sizes, 2 * DIMENSIONS, 0.0)
        self.slicing = FrameField(self.sizes, AMBIENT, SLICE_SCALE)

    def canonical(self, deformed: Tensor, frame: Frame) -> Tensor:
        """Undo the motion of the head, then warp: `[N, 3]` -> points of the template `[N, 3]`."""
        return self._warped(undo_head(deformed, self.bones, frame), frame)

    def evaluate(self, deformed: Tensor, frame: Frame) -> tuple[Tensor, Geometry]:
        """Return the points of the template and the geometry at their ambient coordinates."""
        rigid = undo_head(deformed, self.bones, frame)
        ambient = self.slicing(rigid, self.frame_code(frame))
        canonical = self._warped(rigid, frame)
        return canonical, self.geometry(canonical, _with_latent(ambient, frame))

    def geometry_code(self, frame: Frame) -> Tensor:
        """Return zero ambient coordinates and the latent code of the frame, if any: `[2 + L]`.

        The coordinates of a point depend on its place in the frame: `evaluate` has them.
        """
        return _with_latent(frame.expression.new_zeros(AMBIENT), frame)

    def head_directions(self, directions: Tensor, frame: Frame) -> Tensor:
        """Directions in the space of the resting head."""
        head = self.bones.row(HEAD_BONE)
        posed = self.bones(frame.expression, frame.pose)[head, :, :3]
        turned: Tensor = directions @ posed @ self.canonical_transforms[head, :, :3].T
        return turned

    def _warped(self, rigid: Tensor, frame: Frame) -> Tensor:
        rotation, translation = self.warp(rigid, self.frame_code(frame)).split(DIMENSIONS, dim=1)
        return screw_motion(rigid, rotation, translation)


def _with_latent(ambient: Tensor, frame: Frame) -> Tensor:
    if frame.latent is None:
        return ambient
    return torch.cat([ambient, frame.latent.expand(*ambient.shape[:-1], -1)], dim=-1)


def screw_motion(x: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
    """Move points `[N, 3]` by the exponentials of screw axes (r, v): e^r x + G v.

    With K the cross product with r and t its length, e^r = 1 + sin(t) / t K + (1 - cos t) / t^2 K^2
    and G = 1 + (1 - cos t) / t^2 K + (t - sin t) / t^3 K^2 (Rodrigues, Nerfies).

    Args:
        rotation: r, `[N, 3]`, radians.
        translation: v, `[N, 3]`, model units.
    """
    squared = rotation.square().sum(dim=1, keepdim=True) + SMALL_ANGLE
    angle = squared.sqrt()
    first = angle.sin() / angle
    second = 2.0 * (0.5 * angle).sin().square() / squared
    third = (1.0 - first) / squared

    def turn(vector: Tensor) -> Tensor:
        product: Tensor = torch.linalg.cross(rotation, vector)
        return product

    turned, moved = turn(x), turn(translation)
    return (
        x + first * turned + second * turn(turned)
        + translation + second * moved + third * turn(moved)
    )  # fmt: skip


ROW = VariantRow(
    HyperNeRF.name,
    "HyperNeRF's radiance field, conditioned on expression and pose, rigid head motion",
    HyperNeRF,
    supervised=False,
)
