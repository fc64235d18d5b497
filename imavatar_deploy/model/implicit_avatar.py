"""ImplicitAvatar: a head model and the three networks, with the forward map from canonical to deformed space."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.conventions import POSE_SIZE
from imavatar_deploy.head_model import HeadModel

from .correspondence import PosedMap
from .deformation import Deformation, DeformationNetwork
from .forward_avatar import ForwardAvatarModel
from .frame import Frame
from .geometry import GeometryNetwork
from .sizes import NetworkSizes
from .skinning import joint_basis, joints_at_rest, pose_feature, skin, unskin
from .texture import TextureNetwork

Float = NDArray[np.float32]


class ImplicitAvatar(ForwardAvatarModel):
    """An implicit morphable head (IMavatar), in model units (FLAME x 4).

    The networks are the public face: `avatar.geometry(x)`, `avatar.deformation(x)`, `avatar.texture(x, normal,
    condition, feature)`. All take points `[N, 3]` and keep what gradients need: evaluate many points in chunks.
    """

    name: ClassVar[str] = "imavatar"

    deformation: DeformationNetwork

    def __init__(
        self,
        head: HeadModel,
        sizes: NetworkSizes | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(head, sizes, provenance)
        self.geometry = GeometryNetwork(self.sizes)
        self.deformation = DeformationNetwork(self.sizes)
        self.texture = TextureNetwork(self.sizes)

    @property
    def canonical_pose(self) -> Tensor:
        """[15] of the canonical space, on the avatar's device."""
        return self.bones.canonical_pose

    @property
    def expression_names(self) -> tuple[str, ...]:
        """The 50 expressions by name."""
        return self.head.expression_names

    @property
    def joints_rest(self) -> Float:
        """[5, 3] joints of the neutral expression, model units."""
        return joints_at_rest(self.head)

    @property
    def joint_basis(self) -> Float:
        """[E, 5, 3] how the joints move with expression, model units."""
        return joint_basis(self.head)

    def rest(self, x: Tensor, deformation: Deformation) -> Tensor:
        """[N, 3] canonical points taken back to rest: T_can(w)^-1 x - P f_can, the canonical expression being zero."""
        unposed = unskin(x, deformation.weights, self.canonical_transforms)
        return unposed - torch.einsum("nfc,f->nc", deformation.pose, self.bones.canonical_feature)

    def deform(self, x: Tensor, expression: Tensor, pose: Tensor) -> Tensor:
        """Canonical points -> deformed points `[N, 3]` (IMavatar, equations 2 to 4).

        Args:
            x: `[N, 3]` canonical points, model units.
            expression: `[E]` coefficients.
            pose: `[15]` axis-angle of the five bones, radians.

        Raises:
            InputError: an argument has another shape.
        """
        ensure_shape("points", x, ("N", 3))
        ensure_shape("expression", expression, (self.sizes.expressions,))
        ensure_shape("pose", pose, (POSE_SIZE,))
        deformation = self.deformation(x)
        return self.pose_rest(self.rest(x, deformation), deformation, expression, pose)

    def forward_map(self, frame: Frame) -> PosedMap:
        """`deform` and the skinning weights of one frame, folded for the search."""
        return PosedMap(
            self.deformation,
            self.transforms(frame.expression, frame.pose),
            self.canonical_transforms,
            frame.expression,
            pose_feature(frame.pose) - self.bones.canonical_feature,
        )

    def pose_rest(
        self, rest: Tensor, deformation: Deformation, expression: Tensor, pose: Tensor
    ) -> Tensor:
        """The frame's half of `deform`: T(w) [rest + E expression + P f(pose)], `[N, 3]`."""
        shaped = (
            rest
            + torch.einsum("nce,e->nc", deformation.expression, expression)
            + torch.einsum("nfc,f->nc", deformation.pose, pose_feature(pose))
        )
        return skin(shaped, deformation.weights, self.transforms(expression, pose))
