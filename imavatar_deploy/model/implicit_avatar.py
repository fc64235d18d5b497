"""ImplicitAvatar: a head model and the three networks, with the forward map from canonical to deformed space."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.conventions import CONDITION_SIZE, EXPRESSION_SIZE, POSE_SIZE, UNITS_PER_METRE
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import HeadModel

from .deformation import Deformation, DeformationNetwork
from .forward import ForwardVariant
from .frame import Frame
from .geometry import GeometryNetwork
from .posed_map import PosedMap
from .sizes import NetworkSizes
from .skinning import pose_feature, skin, skinning_transforms, unskin
from .texture import TextureNetwork

Float = NDArray[np.float32]


class ImplicitAvatar(ForwardVariant):
    """An implicit morphable head (IMavatar), in model units (FLAME x 4).

    The networks are the public face: `avatar.geometry(x)`, `avatar.deformation(x)`, `avatar.texture(x, normal,
    condition, feature)`. All take points `[N, 3]` and keep what gradients need: evaluate many points in chunks.

    Args:
        head: the subject's head model in metres, the subject's shape already in its template.
        sizes: of the networks; the published ones by default.
        provenance: where the weights come from, as it will stand in checkpoints and manifests.
    """

    name: ClassVar[str] = "imavatar"

    deformation: DeformationNetwork

    canonical_pose: Tensor  # [15]
    canonical_feature: Tensor  # [36]
    canonical_transforms: Tensor  # [J, 3, 4]
    rest_joints: Tensor  # [5, 3]
    rest_joint_basis: Tensor  # [E, 5, 3]

    def __init__(
        self, head: HeadModel, sizes: NetworkSizes | None = None, provenance: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.head = head
        self.sizes = sizes or NetworkSizes()
        self.provenance = dict(provenance or {})
        if (self.sizes.expressions, self.sizes.condition) != (EXPRESSION_SIZE, CONDITION_SIZE):
            raise InputError(
                f"an avatar needs {EXPRESSION_SIZE} expressions and a condition of {CONDITION_SIZE} as its head model "
                f"has, got {self.sizes.expressions} and {self.sizes.condition}"
            )
        self.geometry = GeometryNetwork(self.sizes)
        self.deformation = DeformationNetwork(self.sizes)
        self.texture = TextureNetwork(self.sizes)
        self._place_bones()

    def _place_bones(self) -> None:
        constants = {
            "rest_joints": self.joints_rest,
            "rest_joint_basis": self.joint_basis,
            "canonical_pose": canonical_pose(),
        }
        for name, array in constants.items():
            self.register_buffer(name, torch.from_numpy(array), persistent=False)
        transforms = skinning_transforms(self.canonical_pose, self.rest_joints, self.sizes.bones)
        self.register_buffer("canonical_transforms", transforms, persistent=False)
        self.register_buffer("canonical_feature", pose_feature(self.canonical_pose), persistent=False)

    @property
    def edition(self) -> str:
        """The head-model edition whose expressions and poses drive this avatar."""
        return self.head.edition

    @property
    def expression_names(self) -> tuple[str, ...]:
        """The 50 expressions by name."""
        return self.head.expression_names

    @property
    def joints_rest(self) -> Float:
        """[5, 3] joints of the neutral expression, model units."""
        return np.ascontiguousarray(UNITS_PER_METRE * (self.head.joint_regressor @ self.head.template), np.float32)

    @property
    def joint_basis(self) -> Float:
        """[E, 5, 3] how the joints move with expression, model units."""
        basis = np.einsum("bv,vce->ebc", self.head.joint_regressor, self.head.expression_basis, optimize=True)
        return np.ascontiguousarray(UNITS_PER_METRE * basis, np.float32)

    def transforms(self, expression: Tensor, pose: Tensor) -> Tensor:
        """[J, 3, 4] of every skinning bone for an expression `[E]` and a pose `[15]`; joints move with expression."""
        joints = self.rest_joints + torch.tensordot(expression, self.rest_joint_basis, dims=1)
        return skinning_transforms(pose, joints, self.sizes.bones)

    def rest(self, x: Tensor, deformation: Deformation) -> Tensor:
        """[N, 3] canonical points taken back to rest: T_can(w)^-1 x - P f_can, the canonical expression being zero."""
        unposed = unskin(x, deformation.weights, self.canonical_transforms)
        return unposed - torch.einsum("nfc,f->nc", deformation.pose, self.canonical_feature)

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
            pose_feature(frame.pose) - self.canonical_feature,
        )

    def pose_rest(self, rest: Tensor, deformation: Deformation, expression: Tensor, pose: Tensor) -> Tensor:
        """The frame's half of `deform`: T(w) [rest + E expression + P f(pose)], `[N, 3]`."""
        shaped = (
            rest
            + torch.einsum("nce,e->nc", deformation.expression, expression)
            + torch.einsum("nfc,f->nc", deformation.pose, pose_feature(pose))
        )
        return skin(shaped, deformation.weights, self.transforms(expression, pose))
