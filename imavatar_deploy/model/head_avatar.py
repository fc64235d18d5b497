"""HeadAvatarModel: the interface of all model variants to tracing, training and evaluation.

The paper's method and its baselines differ in how they map a deformed point x_d to a canonical
point x_c. Tracers, losses, the training loop and evaluation use this class for all of them.

    forward    the network gives d(x_c; frame), a search inverts it    imavatar(-minus), fwd-skin
    backward   the network gives x_c(x_d; frame)                       c-net, d-net, b-morph,
                                                                       hyper-nerf
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
    """Canonical counterparts of deformed points, without gradients."""

    canonical: Tensor  # [N, 3]
    sdf: Tensor  # [N] +1 without a root, as published
    valid: Tensor  # [N] bool: `canonical` deforms to the point


class SurfacePoints(NamedTuple):
    """Points where rays meet the surface, differentiable in networks, frame and camera."""

    canonical: Tensor  # [M, 3]
    normal: Tensor  # [M, 3] unit, of the deformed surface
    geometry: Geometry  # sdf [M] (about zero) and feature [M, 256]
    deformed: Tensor  # [M, 3] the points on their rays


class HeadAvatarModel(nn.Module, ABC):
    """Abstract base of the head avatars, in model units (FLAME x 4).

    Args:
        head: the subject's head model in metres, with the subject's shape in its template.
        sizes: sizes of the networks; the published ones by default.
        provenance: origin of the weights, stored in checkpoints and manifests.

    Raises:
        InputError: the sizes do not fit the head model's expressions.
    """

    name: ClassVar[str]
    """Name in `variants.VARIANTS` and in checkpoints."""
    direction: ClassVar[str]
    """`forward` or `backward`, as described above."""

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
                f"an avatar needs {EXPRESSION_SIZE} expressions and a condition of "
                f"{CONDITION_SIZE} as its head model has, got {self.sizes.expressions} "
                f"and {self.sizes.condition}"
            )
        self.bones = Bones(head, self.sizes.bones)

    @abstractmethod
    def find_canonical(self, points: Tensor, frame: Frame) -> Correspondences:
        """Return the canonical counterparts of deformed points `[N, 3]`, without gradients.

        Where a point has several, the one of smallest signed distance is returned (union of the
        layers).
        """

    @abstractmethod
    def attach_gradients(
        self, canonical: Tensor, deformed: Tensor, view: RayBundle, frame: Frame
    ) -> SurfacePoints:
        """Attach gradients to traced surface points by implicit differentiation (IMavatar).

        Args:
            canonical: `[M, 3]` intersections of the rays of `view` (M pixels) with the surface;
                their gradients are ignored.
            deformed: `[M, 3]` the same points on their rays; their gradients are ignored. Forward
                variants do not use them.
        """

    @abstractmethod
    def sdf_at(self, canonical: Tensor, deformed: Tensor, frame: Frame) -> Tensor:
        """Return the signed distance `[M]` with gradients, on and off the surface (mask loss).

        Args:
            canonical: `[M, 3]` counterparts of `deformed`; their gradients are ignored.
            deformed: `[M, 3]` points on rays; the camera's gradient passes through them.
        """

    @abstractmethod
    def blend_fields(self, points: SurfacePoints, frame: Frame) -> Deformation | None:
        """Return blendshapes and skinning weights at surface points (pseudo-ground-truth losses).

        None where the variant has neither. `expression` or `pose` may have a basis of length zero.
        """

    @property
    def edition(self) -> str:
        """Edition of the head model whose expressions and poses drive this avatar."""
        return self.head.edition

    @property
    def canonical_transforms(self) -> Tensor:
        """Transforms of the skinning bones in the canonical pose `[J, 3, 4]`."""
        return self.bones.canonical_transforms

    def transforms(self, expression: Tensor, pose: Tensor) -> Tensor:
        """Return the transforms `[J, 3, 4]` of the skinning bones.

        Args:
            expression: `[E]` coefficients; the joints move with them.
            pose: `[15]` axis-angle, radians.
        """
        transforms: Tensor = self.bones(expression, pose)
        return transforms

    def geometry_code(self, frame: Frame) -> Tensor | None:
        """Return the code of the geometry network for a frame; by default the latent code `[L]`."""
        return frame.latent

    def condition(self, expression: Tensor, pose: Tensor) -> Tensor:
        """Return the condition of the texture network `[53]`: expression and jaw axis-angle."""
        return torch.cat([expression, pose[JAW]])

    def colour(self, points: SurfacePoints, frame: Frame, noise: Tensor | float = 0.0) -> Tensor:
        """Return the colours of surface points `[M, 3]`, in 0..1.

        Args:
            noise: `[M, 53]`, added to the condition of the texture network.
        """
        condition = self.condition(frame.expression, frame.pose) + noise
        colour: Tensor = self.texture(
            points.canonical, points.normal, condition, points.geometry.feature
        )
        return colour


# Rows of the table of variants


@dataclass(frozen=True)
class VariantRow:
    """One variant of the model: how to build and train it."""

    name: str
    summary: str
    """One line for `--help`."""
    build: Callable[[HeadModel, NetworkSizes, dict[str, Any]], HeadAvatarModel]
    """Builds an untrained model from a head model, sizes and provenance."""
    supervised: bool
    """Whether training uses the pseudo ground truth of the head model beside masks and colours."""
