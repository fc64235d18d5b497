"""BackwardVariant: baselines that map deformed points to canonical space directly, with gradients along the ray.

No correspondence is searched: every deformed point has exactly one canonical one. A ray then meets the surface where
f(x_d) = sdf(x_c(x_d)) is zero, and how that point moves along its ray with anything trained follows from the implicit
function theorem (Differentiable Volumetric Rendering, equation 12; IDR, equation 3).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.head_model import HeadModel

from .deformation import Deformation
from .frame import Frame, RayBundle
from .geometry import Geometry, GeometryNetwork
from .head_avatar import Correspondences, HeadAvatarModel, SurfacePoints
from .sizes import NetworkSizes
from .skinning import Bones
from .texture import TextureNetwork

FRAME_SIZE = EXPRESSION_SIZE + POSE_SIZE
"""Length of what a backward network is told of a frame."""

SEARCH_CHUNK = 2048
"""Points asked at once in a search: activations of 512 channels then stay in the cache."""

GRAZING = 1e-3
"""A ray that meets the surface flatter than this moves its point no faster: the derivative goes to infinity there."""


class BackwardAvatarModel(HeadAvatarModel):
    """A head avatar whose networks take deformed points to canonical space; subclasses say how.

    Args:
        head: see `Variant`.
        sizes: see `Variant`.
        provenance: see `Variant`.
        condition: how much of a frame the geometry network is told, beside a latent code.
    """

    direction: ClassVar[str] = "backward"

    def __init__(
        self,
        head: HeadModel,
        sizes: NetworkSizes | None = None,
        provenance: dict[str, Any] | None = None,
        *,
        condition: int = 0,
    ) -> None:
        super().__init__(head, sizes, provenance)
        self.geometry = GeometryNetwork(self.sizes, condition)
        self.texture = TextureNetwork(self.sizes)

    @abstractmethod
    def canonical(self, deformed: Tensor, frame: Frame) -> Tensor:
        """Canonical counterparts `[N, 3]` of deformed points `[N, 3]`, differentiable in everything."""

    def frame_code(self, frame: Frame) -> Tensor:
        """[65] what the networks are told of a frame: expression, then pose."""
        return torch.cat([frame.expression, frame.pose])

    def find_canonical(self, points: Tensor, frame: Frame) -> Correspondences:
        """See `Variant`; every point has its counterpart."""
        with torch.no_grad():
            looks = [self._look(some, frame) for some in torch.split(points, SEARCH_CHUNK)]
        canonical, sdf = (
            torch.cat(parts) for parts in zip(*((x, found.sdf) for x, found in looks), strict=True)
        )
        return Correspondences(canonical, sdf, torch.ones_like(sdf, dtype=torch.bool))

    def attach_gradients(
        self, canonical: Tensor, deformed: Tensor, view: RayBundle, frame: Frame
    ) -> SurfacePoints:
        """See `Variant`: x_d' = o + (t - (f - stop(f)) / (grad f . v)) v, and all else from there."""
        distance = ((deformed - view.origin) * view.directions).sum(dim=1).detach()
        points = view.at(distance)
        if not torch.is_grad_enabled():
            with torch.enable_grad():
                return _without_gradients(self._shaded(points, frame, differentiable=False))
        return self._shaded(self._moving(points, view, frame), frame, differentiable=True)

    def sdf_at(self, canonical: Tensor, deformed: Tensor, frame: Frame) -> Tensor:
        """See `Variant`: plainly the field at the deformed points."""
        return self._look(deformed, frame)[1].sdf

    def blend_fields(self, points: SurfacePoints, frame: Frame) -> Deformation | None:
        """See `Variant`: none, unless a subclass has them."""
        return None

    def _look(self, deformed: Tensor, frame: Frame) -> tuple[Tensor, Geometry]:
        canonical = self.canonical(deformed, frame)
        return canonical, self.geometry(canonical, self.geometry_code(frame))

    def _moving(self, points: Tensor, view: RayBundle, frame: Frame) -> Tensor:
        """Points on rays -> the same, following the surface along their rays."""
        points = _with_graph(points)
        sdf = self._look(points, frame)[1].sdf
        (slope,) = torch.autograd.grad(sdf.sum(), points, retain_graph=True)
        against = (slope * view.directions).sum(dim=1)
        against = torch.where(against < 0, against.clamp(max=-GRAZING), against.clamp(min=GRAZING))
        return points - ((sdf - sdf.detach()) / against)[:, None] * view.directions

    def _shaded(self, points: Tensor, frame: Frame, *, differentiable: bool) -> SurfacePoints:
        points = _with_graph(points)
        canonical, geometry = self._look(points, frame)
        (slope,) = torch.autograd.grad(
            geometry.sdf.sum(), points, create_graph=differentiable, retain_graph=True
        )
        return SurfacePoints(
            canonical, torch.nn.functional.normalize(slope, dim=1), geometry, points
        )


def _with_graph(points: Tensor) -> Tensor:
    return points if points.requires_grad else points.detach().requires_grad_()


def _without_gradients(points: SurfacePoints) -> SurfacePoints:
    geometry = Geometry(*(tensor.detach() for tensor in points.geometry))
    return SurfacePoints(
        points.canonical.detach(), points.normal.detach(), geometry, points.deformed.detach()
    )


# The rigid step of the backward baselines: a frame's points, with the head turned back to where it is canonically.


HEAD_BONE = "neck"
"""FLAME has no bone between neck and jaw: the neck carries the head."""


def undo_head(points: Tensor, bones: Bones, frame: Frame) -> Tensor:
    """Deformed points `[N, 3]` -> G_can G^-1 x of the head bone (IMavatar, supplementary, section 2.2).

    The step is the head's for every point: shoulders, which do not follow it, are left to the networks.
    """
    head = bones.row(HEAD_BONE)
    posed, canonical = bones(frame.expression, frame.pose)[head], bones.canonical_transforms[head]
    rest = (points - posed[:, 3]) @ posed[
        :, :3
    ]  # a row times R is the inverse rotation of a column
    placed: Tensor = rest @ canonical[:, :3].T + canonical[:, 3]
    return placed
