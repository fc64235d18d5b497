"""Fwd-Skin: forward skinning; expressions condition geometry and texture only (as in SNARF)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.correspondence import ForwardMap
from imavatar_deploy.model.deformation import LOGIT_SCALE, Deformation
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.geometry import GeometryNetwork
from imavatar_deploy.model.head_avatar import VariantRow
from imavatar_deploy.model.layers import (
    DIMENSIONS,
    encode,
    encoded_size,
    initial_linear,
    smooth,
    smooth_layers,
    weight_normed,
    zero_linear,
)
from imavatar_deploy.model.sizes import NetworkSizes
from imavatar_deploy.model.skinning import skin, unskin
from imavatar_deploy.model.texture import TextureNetwork


class WeightNetwork(nn.Module):
    """Map canonical points to skinning weights: a deformation network without blendshapes."""

    def __init__(self, sizes: NetworkSizes) -> None:
        super().__init__()
        self.frequencies = sizes.deformation_frequencies
        last = sizes.deformation_layers[-1]
        self.layers = smooth_layers((encoded_size(self.frequencies), *sizes.deformation_layers))
        self.skinning_hidden = weight_normed(initial_linear(last, last))
        self.skinning = zero_linear(last, sizes.bones)

    def forward(self, x: Tensor) -> Deformation:
        """Return skinning weights of canonical points `[N, 3]`, model units, and empty bases."""
        hidden = encode(x, self.frequencies)
        for layer in self.layers:
            hidden = smooth(layer(hidden))
        logits = self.skinning(smooth(self.skinning_hidden(hidden)))
        none = x.new_zeros(len(x), DIMENSIONS, 0)
        return Deformation(none, none.transpose(1, 2), (LOGIT_SCALE * logits).softmax(dim=-1))


class FwdSkin(ForwardAvatarModel):
    """Forward skinning baseline (IMavatar, supplementary, section 2.2 and figure 8)."""

    name = "fwd-skin"

    def __init__(
        self,
        head: HeadModel,
        sizes: NetworkSizes | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(head, sizes, provenance)
        self.geometry = GeometryNetwork(self.sizes, self.sizes.expressions)
        self.deformation = WeightNetwork(self.sizes)
        self.texture = TextureNetwork(self.sizes)

    def geometry_code(self, frame: Frame) -> Tensor:
        """Return the expression and the latent code of the frame, if any: `[50 + L]`."""
        return (
            frame.expression
            if frame.latent is None
            else torch.cat([frame.expression, frame.latent])
        )

    def deform(self, x: Tensor, expression: Tensor, pose: Tensor) -> Tensor:
        """Deform canonical points, `[N, 3]`: T(w) T_can(w)^-1 x."""
        return self._skin(x, self.transforms(expression, pose))[0]

    def forward_map(self, frame: Frame) -> ForwardMap:
        """Return the map to deformed points and skinning weights in one frame."""
        transforms = self.transforms(frame.expression, frame.pose)
        return lambda x: self._skin(x, transforms)

    def _skin(self, x: Tensor, transforms: Tensor) -> tuple[Tensor, Tensor]:
        weights = self.deformation(x).weights
        return skin(unskin(x, weights, self.canonical_transforms), weights, transforms), weights


ROW = VariantRow(
    FwdSkin.name,
    "forward skinning; expressions condition geometry and texture only",
    FwdSkin,
    supervised=True,
)
