"""ImplicitAvatar: the model of the IMavatar paper, three networks driven by a head model."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Float32
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


class ImplicitAvatar(ForwardAvatarModel):
    """An implicit morphable head (IMavatar), in model units (FLAME x 4).

    Its networks can be called directly: `avatar.geometry(x)`, `avatar.deformation(x)` and
    `avatar.texture(x, normal, condition, feature)`. All take points `[N, 3]` and record an autograd
    graph; evaluate many points in chunks.
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
        """Pose of the canonical space `[15]`, on the avatar's device."""
        return self.bones.canonical_pose

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Names of the 50 expressions."""
        return self.head.expression_names

    @property
    def joints_rest(self) -> Float32[Array, "5 3"]:
        """Joints of the neutral expression `[5, 3]`, model units."""
        return joints_at_rest(self.head)

    @property
    def joint_basis(self) -> Float32[Array, "E 5 3"]:
        """Displacement of the joints per unit of expression `[E, 5, 3]`, model units."""
        return joint_basis(self.head)

    def rest(self, x: Tensor, deformation: Deformation) -> Tensor:
        """Map canonical points to the rest pose: T_can(w)^-1 x - P f_can, `[N, 3]`.

        The canonical expression is zero.
        """
        unposed = unskin(x, deformation.weights, self.canonical_transforms)
        return unposed - torch.einsum("nfc,f->nc", deformation.pose, self.bones.canonical_feature)

    def deform(self, x: Tensor, expression: Tensor, pose: Tensor) -> Tensor:
        """Deform canonical points, `[N, 3]` (IMavatar, equations 2 to 4).

        Args:
            x: `[N, 3]` canonical points, model units.
            expression: `[E]` coefficients.
            pose: `[15]` axis-angle of the five bones, radians.

        Raises:
            InputError: an argument has a wrong shape.
        """
        ensure_shape("points", x, ("N", 3))
        ensure_shape("expression", expression, (self.sizes.expressions,))
        ensure_shape("pose", pose, (POSE_SIZE,))
        deformation = self.deformation(x)
        return self.pose_rest(self.rest(x, deformation), deformation, expression, pose)

    def forward_map(self, frame: Frame) -> PosedMap:
        """Return `deform` for one frame, with expression and pose folded into the last layer."""
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
        """Pose points at rest `[N, 3]`: T(w) [rest + E expression + P f(pose)]."""
        shaped = (
            rest
            + torch.einsum("nce,e->nc", deformation.expression, expression)
            + torch.einsum("nfc,f->nc", deformation.pose, pose_feature(pose))
        )
        return skin(shaped, deformation.weights, self.transforms(expression, pose))
