"""BackwardAvatarModel: baselines that map deformed points directly to canonical space.

Every deformed point has exactly one canonical counterpart, so no search is necessary. A ray meets
the surface where f(x_d) = sdf(x_c(x_d)) is zero. The derivative of that point along its ray follows
from the implicit function theorem (Differentiable Volumetric Rendering, equation 12; IDR,
equation 3).
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
"""Length of the frame condition of backward networks: expression and pose."""

SEARCH_CHUNK = 2048
"""Points evaluated at once: activations of 512 channels then stay in the cache."""

MIN_SLOPE = 1e-3
"""Smallest magnitude of the derivative of f along a ray; its inverse diverges on grazing rays."""


class BackwardAvatarModel(HeadAvatarModel):
    """A `HeadAvatarModel` whose networks map deformed points to canonical space.

    Args:
        head: the subject's head model in metres.
        sizes: sizes of the networks.
        provenance: origin of the weights.
        condition: length of the frame condition of the geometry network, without latent code.
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
        """Map deformed points `[N, 3]` to canonical space, differentiable in all arguments."""

    def frame_code(self, frame: Frame) -> Tensor:
        """Return the frame condition of the networks `[65]`: expression, then pose."""
        return torch.cat([frame.expression, frame.pose])

    def find_canonical(self, points: Tensor, frame: Frame) -> Correspondences:
        """Return canonical points and signed distances; every point is valid."""
        with torch.no_grad():
            chunks = [self.evaluate(part, frame) for part in torch.split(points, SEARCH_CHUNK)]
        canonical = torch.cat([x for x, _ in chunks])
        sdf = torch.cat([geometry.sdf for _, geometry in chunks])
        return Correspondences(canonical, sdf, torch.ones_like(sdf, dtype=torch.bool))

    def attach_gradients(
        self, canonical: Tensor, deformed: Tensor, view: RayBundle, frame: Frame
    ) -> SurfacePoints:
        """Return surface points at x_d' = o + (t - (f - stopgrad f) / (grad f . v)) v."""
        distance = ((deformed - view.origin) * view.directions).sum(dim=1).detach()
        points = view.at(distance)
        if not torch.is_grad_enabled():
            with torch.enable_grad():
                return _without_gradients(self._surface(points, frame, graph=False))
        return self._surface(self._attach_to_rays(points, view, frame), frame, graph=True)

    def sdf_at(self, canonical: Tensor, deformed: Tensor, frame: Frame) -> Tensor:
        """Return the signed distance `[M]` at the deformed points, with gradients."""
        return self.evaluate(deformed, frame)[1].sdf

    def blend_fields(self, points: SurfacePoints, frame: Frame) -> Deformation | None:
        """Return None; subclasses with blendshapes override this."""
        return None

    def evaluate(self, deformed: Tensor, frame: Frame) -> tuple[Tensor, Geometry]:
        """Return the canonical counterparts of points `[N, 3]` and the geometry there."""
        canonical = self.canonical(deformed, frame)
        return canonical, self.geometry(canonical, self.geometry_code(frame))

    def _attach_to_rays(self, points: Tensor, view: RayBundle, frame: Frame) -> Tensor:
        """Return surface points on rays with the gradients of their motion along the rays."""
        points = _with_graph(points)
        sdf = self.evaluate(points, frame)[1].sdf
        (gradient,) = torch.autograd.grad(sdf.sum(), points, retain_graph=True)
        along_ray = (gradient * view.directions).sum(dim=1)
        along_ray = torch.where(
            along_ray < 0, along_ray.clamp(max=-MIN_SLOPE), along_ray.clamp(min=MIN_SLOPE)
        )
        return points - ((sdf - sdf.detach()) / along_ray)[:, None] * view.directions

    def _surface(self, points: Tensor, frame: Frame, *, graph: bool) -> SurfacePoints:
        """Return the surface at deformed points, normals differentiable where `graph` is true."""
        points = _with_graph(points)
        canonical, geometry = self.evaluate(points, frame)
        (gradient,) = torch.autograd.grad(
            geometry.sdf.sum(), points, create_graph=graph, retain_graph=True
        )
        return SurfacePoints(
            canonical, torch.nn.functional.normalize(gradient, dim=1), geometry, points
        )


def _with_graph(points: Tensor) -> Tensor:
    return points if points.requires_grad else points.detach().requires_grad_()


def _without_gradients(points: SurfacePoints) -> SurfacePoints:
    geometry = Geometry(*(tensor.detach() for tensor in points.geometry))
    return SurfacePoints(
        points.canonical.detach(), points.normal.detach(), geometry, points.deformed.detach()
    )


# Rigid motion of the head


HEAD_BONE = "neck"
"""Bone that moves the head: FLAME has none between neck and jaw."""


def undo_head(points: Tensor, bones: Bones, frame: Frame) -> Tensor:
    """Move deformed points `[N, 3]` by G_can G^-1 of the head bone (IMavatar, suppl., section 2.2).

    The transform is the same for all points. The networks have to account for the shoulders, which
    do not follow the head.
    """
    head = bones.row(HEAD_BONE)
    posed = bones(frame.expression, frame.pose)[head]
    canonical = bones.canonical_transforms[head]
    rest = (points - posed[:, 3]) @ posed[:, :3]  # rows times R: the inverse rotation
    moved: Tensor = rest @ canonical[:, :3].T + canonical[:, 3]
    return moved
