"""B-Morph: the paper's morphing fields, but asked at the deformed point and inverted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.backward_avatar import FRAME_SIZE, BackwardVariant
from imavatar_deploy.model.deformation import Deformation, DeformationNetwork
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.head_avatar import SurfacePoints, VariantRow
from imavatar_deploy.model.sizes import NetworkSizes
from imavatar_deploy.model.skinning import pose_feature, skin, unskin


class BMorph(BackwardVariant):
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


ROW = VariantRow(
    BMorph.name, "blendshapes and weights at the deformed point, inverted", BMorph, supervised=True
)
