"""C-Net: no deformation but the head's rigid one; the geometry itself is conditioned on expression and pose."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.backward_avatar import FRAME_SIZE, BackwardVariant, undo_head
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.head_avatar import VariantRow
from imavatar_deploy.model.sizes import NetworkSizes


class CNet(BackwardVariant):
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


ROW = VariantRow(
    CNet.name,
    "geometry conditioned on expression and pose, rigid head motion",
    CNet,
    supervised=False,
)
