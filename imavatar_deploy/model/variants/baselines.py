"""The backward baselines C-Net, B-Morph and D-Net (IMavatar, supplementary, section 2.2, figure 8).

C-Net conditions the geometry on expression and pose. B-Morph evaluates blendshapes and skinning
weights at the deformed point and inverts them. D-Net predicts the displacement to canonical space.
C-Net and D-Net first undo the rigid motion of the head.
"""

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
    """Geometry conditioned on expression and pose; initially a sphere for every condition."""

    name = "c-net"

    def __init__(
        self,
        head: HeadModel,
        sizes: NetworkSizes | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(head, sizes, provenance, condition=FRAME_SIZE)

    def canonical(self, deformed: Tensor, frame: Frame) -> Tensor:
        """Undo the rigid motion of the head: deformed points `[N, 3]` -> canonical `[N, 3]`."""
        return undo_head(deformed, self.bones, frame)

    def geometry_code(self, frame: Frame) -> Tensor:
        """Return expression, pose and the latent code of the frame, if any: `[65 + L]`."""
        code = self.frame_code(frame)
        return code if frame.latent is None else torch.cat([code, frame.latent])


C_NET = VariantRow(
    CNet.name,
    "geometry conditioned on expression and pose, rigid head motion",
    CNet,
    supervised=False,
)


# B-Morph


class BMorph(BackwardAvatarModel):
    """Backward morphing: blendshapes and skinning weights at the deformed point, inverted.

    The canonical counterpart of a deformed point depends on the frame, which conditions the
    network.
    Initially the blendshapes are zero and the weights equal, as in the paper.
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
        """Return x_c = T_can(w) [T(w)^-1 x_d - E expression - P f(pose) + P f_can], `[N, 3]`."""
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
        """Return blendshapes and skinning weights at the deformed points."""
        return self._fields(points.deformed, frame)

    def _fields(self, deformed: Tensor, frame: Frame) -> Deformation:
        fields: Deformation = self.deformation(deformed, self.frame_code(frame))
        return fields


B_MORPH = VariantRow(
    BMorph.name, "blendshapes and weights at the deformed point, inverted", BMorph, supervised=True
)


# D-Net


class DisplacementNetwork(nn.Module):
    """Map points and the frame condition to displacements; initially zero.

    Its hidden layers are those of the deformation network.
    """

    def __init__(self, sizes: NetworkSizes) -> None:
        super().__init__()
        self.frequencies = sizes.deformation_frequencies
        self.layers = smooth_layers(
            (encoded_size(self.frequencies) + FRAME_SIZE, *sizes.deformation_layers)
        )
        self.displacement = zero_linear(sizes.deformation_layers[-1], DIMENSIONS)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return displacements `[N, 3]` of points `[N, 3]`, model units, for a condition `[65]`."""
        hidden = torch.cat([encode(x, self.frequencies), condition.expand(x.shape[0], -1)], dim=-1)
        for layer in self.layers:
            hidden = smooth(layer(hidden))
        displacement: Tensor = self.displacement(hidden)
        return displacement


class DNet(BackwardAvatarModel):
    """Rigid motion of the head and a displacement network, from deformed to canonical space."""

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
        """Undo the motion of the head, then displace: `[N, 3]` -> canonical points `[N, 3]`."""
        rigid = undo_head(deformed, self.bones, frame)
        moved: Tensor = rigid + self.displacement(rigid, self.frame_code(frame))
        return moved


D_NET = VariantRow(
    DNet.name, "backward displacement network, rigid head motion", DNet, supervised=False
)
