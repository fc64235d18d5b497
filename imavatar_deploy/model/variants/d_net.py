"""D-Net: the head's rigid motion undone, then a network displaces deformed points to canonical space."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.backward_avatar import FRAME_SIZE, BackwardVariant, undo_head
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.head_avatar import VariantRow
from imavatar_deploy.model.layers import (
    DIMENSIONS,
    encode,
    encoded_size,
    smooth,
    smooth_layers,
    zero_linear,
)
from imavatar_deploy.model.sizes import NetworkSizes


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


class DNet(BackwardVariant):
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


ROW = VariantRow(
    DNet.name, "backward displacement network, rigid head motion", DNet, supervised=False
)
