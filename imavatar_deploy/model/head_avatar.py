"""Variant: what rendering and training ask of a model, whichever way it maps canonical space to deformed space.

The paper's method and its baselines differ in how they get from a deformed point to a canonical one; everything else
(tracing rays, losses, the loop, evaluation) talks to this class and does not know which it has.

    forward   d(x_c; frame) is given, its inverse is searched            imavatar, imavatar-minus, fwd-skin
    backward  x_c(x_d; frame) is given                                   c-net, d-net, b-morph
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from imavatar_deploy.conventions import CONDITION_SIZE, EXPRESSION_SIZE, JAW
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import HeadModel

from .deformation import Deformation
from .frame import Frame, RayBundle
from .geometry import Geometry, GeometryNetwork
from .sizes import NetworkSizes
from .skinning import Bones
from .texture import TextureNetwork


class Correspondences(NamedTuple):
    """What a variant finds at deformed points; nothing here carries a gradient."""

    canonical: Tensor  # [N, 3]
    sdf: Tensor  # [N] +1 where there is no root, as published
    valid: Tensor  # [N] bool: `canonical` really deforms to the point


class SurfacePoints(NamedTuple):
    """Points where rays meet the surface, differentiable in networks, frame and camera."""

    canonical: Tensor  # [M, 3]
    normal: Tensor  # [M, 3] unit, of the deformed surface
    geometry: Geometry  # sdf [M] (about zero) and feature [M, 256]
    deformed: Tensor  # [M, 3] the same points on their rays


class HeadAvatarModel(nn.Module, ABC):
    """A head avatar that can be traced and trained, in model units (FLAME x 4).

    Args:
        head: the subject's head model in metres, the subject's shape already in its template.
        sizes: of the networks; the published ones by default.
        provenance: where the weights come from, as it will stand in checkpoints and manifests.

    Raises:
        InputError: the sizes do not fit the head model's expressions.
    """

    name: ClassVar[str]
    """The row's name in `variants.VARIANTS` and in checkpoints."""
    direction: ClassVar[str]
    """`forward` or `backward`: see the module."""

    head: HeadModel
    sizes: NetworkSizes
    provenance: dict[str, Any]
    geometry: GeometryNetwork
    texture: TextureNetwork

    def __init__(
        self,
        head: HeadModel,
        sizes: NetworkSizes | None = None,
        provenance: dict[str, Any] | None = None,
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
        self.bones = Bones(head, self.sizes.bones)

    @abstractmethod
    def find_canonical(self, points: Tensor, frame: Frame) -> Correspondences:
        """Canonical counterparts of deformed points `[N, 3]` and their signed distance, without gradients.

        Of several roots the one of smallest signed distance is returned (union of the layers).
        """

    @abstractmethod
    def attach_gradients(
        self, canonical: Tensor, deformed: Tensor, view: RayBundle, frame: Frame
    ) -> SurfacePoints:
        """Attach gradients to surface points found by a tracer (IMavatar, implicit differentiation).

        Args:
            canonical: `[M, 3]` where the rays of `view` (M pixels) meet the surface; values only.
            deformed: `[M, 3]` the same points on their rays; values only. A forward variant has no need of them.
        """

    @abstractmethod
    def sdf_at(self, canonical: Tensor, deformed: Tensor, frame: Frame) -> Tensor:
        """[M] signed distance with gradients at points that need not lie on the surface, for the mask loss.

        Args:
            canonical: `[M, 3]` roots that belong to `deformed`; values only.
            deformed: `[M, 3]` points on rays; the camera's gradient passes through them.
        """

    @abstractmethod
    def blend_fields(self, points: SurfacePoints, frame: Frame) -> Deformation | None:
        """Blendshapes, correctives and skinning weights at surface points, for the pseudo-ground-truth losses.

        None where the variant has none; `Deformation.expression` or `.pose` may be empty along their basis.
        """

    @property
    def edition(self) -> str:
        """The head-model edition whose expressions and poses drive this avatar."""
        return self.head.edition

    @property
    def canonical_transforms(self) -> Tensor:
        """[J, 3, 4] of every skinning bone in the canonical pose."""
        return self.bones.canonical_transforms

    def transforms(self, expression: Tensor, pose: Tensor) -> Tensor:
        """[J, 3, 4] of every skinning bone for an expression `[E]` and a pose `[15]`; joints move with expression."""
        moved: Tensor = self.bones(expression, pose)
        return moved

    def geometry_code(self, frame: Frame) -> Tensor | None:
        """[L] what the geometry network is told beside the point; here the frame's latent code."""
        return frame.latent

    def condition(self, expression: Tensor, pose: Tensor) -> Tensor:
        """[53] what the texture network is told of a frame: expression and the jaw's axis-angle."""
        return torch.cat([expression, pose[JAW]])

    def colour(self, points: SurfacePoints, frame: Frame, noise: Tensor | float = 0.0) -> Tensor:
        """[M, 3] in 0..1 of surface points.

        Args:
            noise: `[M, 53]`, added to what the texture network is told of the frame.
        """
        condition = self.condition(frame.expression, frame.pose) + noise
        colour: Tensor = self.texture(
            points.canonical, points.normal, condition, points.geometry.feature
        )
        return colour


# VariantRow: what the table of variants says of each.


@dataclass(frozen=True)
class VariantRow:
    """One way to build and train a head avatar."""

    name: str
    summary: str
    """One line for `--help`."""
    build: Callable[[HeadModel, NetworkSizes, dict[str, Any]], HeadAvatarModel]
    """(head model, sizes, provenance) -> an untrained model."""
    supervised: bool
    """Whether the head model's pseudo ground truth trains it, beside masks and colours."""
