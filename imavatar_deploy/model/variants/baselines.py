"""C-Net: no deformation but the head's rigid one; the geometry itself is conditioned on expression and pose."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.backward_avatar import FRAME_SIZE, BackwardAvatarModel, undo_head
from imavatar_deploy.model.deformation import Deformation, DeformationNetwork
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.head_avatar import SurfacePoints, VariantRow
from imavatar_deploy.model.layers import (
    DIMENSIONS,
    encode,
    encoded_size,
    smooth,
    smooth_layers,
    zero_linear,
)
from imavatar_deploy.model.sizes import NetworkSizes
from imavatar_deploy.model.skinning import pose_feature, skin, unskin


class CNet(BackwardAvatarModel):
    """Conditional geometry (IMavatar, supplementary, section 2.2 and figure 8). It starts as the same sphere always."""

    name = "c-net"

    def __init__(
        self,
        head: HeadModel,
        sizes: NetworkSizes | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(head, sizes, provenance, condition=FRAME_SIZE)

    def canonical(self, deformed: Tensor, frame: Frame) -> Tensor:
        """See `BackwardVariant`."""
        return undo_head(deformed, self.bones, frame)

    def geometry_code(self, frame: Frame) -> Tensor:
        """[65 + L] expression, pose and the frame's latent code, if it has one."""
        code = self.frame_code(frame)
        return code if frame.latent is None else torch.cat([code, frame.latent])


C_NET = VariantRow(
    CNet.name,
    "geometry conditioned on expression and pose, rigid head motion",
    CNet,
    supervised=False,
)


# B-Morph: the paper's morphing fields, but asked at the deformed point and inverted.


class BMorph(BackwardAvatarModel):
    """Backward morphing (IMavatar, supplementary, section 2.2 and figure 8).

    Where a point was before it moved depends on the frame, so the network that says how it moved has to be told the
    frame, too. It starts as the paper's: no blendshapes and equal weights.
    """

    name = "b-morph"

    def __init__(
        self,
        head: HeadModel,
        sizes: NetworkSizes | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(head, sizes, provenance)
        self.deformation = DeformationNetwork(self.sizes, FRAME_SIZE)

    def canonical(self, deformed: Tensor, frame: Frame) -> Tensor:
        """See `BackwardVariant`: x_c = T_can(w) [T(w)^-1 x_d - E expression - P f(pose) + P f_can]."""
        fields = self._fields(deformed, frame)
        shaped = unskin(deformed, fields.weights, self.transforms(frame.expression, frame.pose))
        feature = pose_feature(frame.pose) - self.bones.canonical_feature
        rest = (
            shaped
            - torch.einsum("nce,e->nc", fields.expression, frame.expression)
            - torch.einsum("nfc,f->nc", fields.pose, feature)
        )
        return skin(rest, fields.weights, self.canonical_transforms)

    def blend_fields(self, points: SurfacePoints, frame: Frame) -> Deformation:
        """See `Variant`: the fields at the deformed points."""
        return self._fields(points.deformed, frame)

    def _fields(self, deformed: Tensor, frame: Frame) -> Deformation:
        fields: Deformation = self.deformation(deformed, self.frame_code(frame))
        return fields


B_MORPH = VariantRow(
    BMorph.name, "blendshapes and weights at the deformed point, inverted", BMorph, supervised=True
)


# D-Net: the head's rigid motion undone, then a network displaces deformed points to canonical space.


class DisplacementNetwork(nn.Module):
    """Rigid point, expression and pose -> displacement, as wide as the deformation network; zero at the start."""

    def __init__(self, sizes: NetworkSizes) -> None:
        super().__init__()
        self.frequencies = sizes.deformation_frequencies
        self.layers = smooth_layers(
            (encoded_size(self.frequencies) + FRAME_SIZE, *sizes.deformation_layers)
        )
        self.displacement = zero_linear(sizes.deformation_layers[-1], DIMENSIONS)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """[N, 3] displacements of points `[N, 3]`, model units, in a frame of condition `[65]`."""
        hidden = torch.cat([encode(x, self.frequencies), condition.expand(x.shape[0], -1)], dim=-1)
        for layer in self.layers:
            hidden = smooth(layer(hidden))
        displacement: Tensor = self.displacement(hidden)
        return displacement


class DNet(BackwardAvatarModel):
    """Backward displacement to a canonical geometry (IMavatar, supplementary, section 2.2 and figure 8)."""

    name = "d-net"

    def __init__(
        self,
        head: HeadModel,
        sizes: NetworkSizes | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(head, sizes, provenance)
        self.displacement = DisplacementNetwork(self.sizes)

    def canonical(self, deformed: Tensor, frame: Frame) -> Tensor:
        """See `BackwardVariant`."""
        rigid = undo_head(deformed, self.bones, frame)
        moved: Tensor = rigid + self.displacement(rigid, self.frame_code(frame))
        return moved


D_NET = VariantRow(
    DNet.name, "backward displacement network, rigid head motion", DNet, supervised=False
)
