"""ForwardAvatarModel: variants that deform canonical points and invert this map by a search.

The search is Broyden's method (`correspondence`); implicit differentiation gives the gradients.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from . import implicit_diff
from .correspondence import (
    IMAGE_TOLERANCE,
    ForwardMap,
    broyden,
    full_precision,
    starting_bones,
    starts,
)
from .deformation import Deformation
from .frame import Frame, RayBundle
from .geometry import Geometry
from .head_avatar import Correspondences, HeadAvatarModel, SurfacePoints

SEARCH_CHUNK = 4096
"""Points searched at once.

Large enough that a call pays for the shrinking set of active searches, small enough for the cache.
"""

DISTANCE_CHUNK = 2048
"""Roots per call of the geometry network: activations of 512 channels then stay in the cache."""

GPU_CHUNK_FACTOR = 32
"""Chunks on a GPU are larger by this factor."""

SAME_ROOT = 1e-4
"""Distance (model units) below which two roots are the same; ten times the error of a search.

The geometry network is evaluated once for them.
"""


class ForwardAvatarModel(HeadAvatarModel):
    """A `HeadAvatarModel` with a differentiable map from canonical to deformed points."""

    direction: ClassVar[str] = "forward"

    deformation: nn.Module
    """Network from canonical points to `Deformation`."""

    @abstractmethod
    def deform(self, x: Tensor, expression: Tensor, pose: Tensor) -> Tensor:
        """Deform canonical points `[N, 3]`, differentiable in all arguments."""

    @abstractmethod
    def forward_map(self, frame: Frame) -> ForwardMap:
        """Return a fast map to deformed points and weights in one frame, without gradients."""

    def find_canonical(self, points: Tensor, frame: Frame) -> Correspondences:
        """Return the valid root of smallest signed distance among three searches for each point."""
        with torch.no_grad(), full_precision(points.device):
            forward = self.forward_map(frame)
            transforms = self.transforms(frame.expression, frame.pose)
            chunks = [
                self._search(part, frame, forward, transforms)
                for part in _parts(points, SEARCH_CHUNK)
            ]
            return Correspondences(*(torch.cat(parts) for parts in zip(*chunks, strict=True)))

    def _search(
        self, points: Tensor, frame: Frame, forward: ForwardMap, transforms: Tensor
    ) -> Correspondences:
        bones = starting_bones(len(transforms))
        start = starts(points, transforms[bones], self.canonical_transforms[bones])
        targets = points[:, None].expand_as(start).flatten(end_dim=1)
        canonical, residual = broyden(forward, start.flatten(end_dim=1), targets, transforms)
        roots = canonical.reshape(start.shape)
        valid = (residual < IMAGE_TOLERANCE).reshape(start.shape[:2])
        smallest, best = self._distances(roots, valid & ~_repeats(roots, valid), frame).min(dim=1)
        rows = torch.arange(len(points), device=points.device)
        has_root = valid.any(dim=1)
        return Correspondences(roots[rows, best], torch.where(has_root, smallest, 1.0), has_root)

    def _distances(self, roots: Tensor, mask: Tensor, frame: Frame) -> Tensor:
        """Return the signed distance `[N, S]` of roots `[N, S, 3]`; infinite outside the mask."""
        points = roots[mask]
        code = self.geometry_code(frame)
        sdf = torch.full_like(roots[..., 0], torch.inf)
        if len(points):
            sdf[mask] = torch.cat(
                [self.geometry(part, code).sdf for part in _parts(points, DISTANCE_CHUNK)]
            )
        return sdf

    def attach_gradients(
        self, canonical: Tensor, deformed: Tensor, view: RayBundle, frame: Frame
    ) -> SurfacePoints:
        """Return surface points x_c' = x_c - (dF/dx_c)^-1 [F - stopgrad F].

        F consists of the two components of d(x_c) - origin orthogonal to the ray and the signed
        distance. With gradients disabled, x_c' = x_c.
        """
        if torch.is_grad_enabled():
            return self._surface(self._attach_to_rays(canonical, view, frame), frame, graph=True)
        with torch.enable_grad():
            surface = self._surface(canonical, frame, graph=False)
        geometry = Geometry(*(part.detach() for part in surface.geometry))
        return SurfacePoints(
            surface.canonical.detach(), surface.normal.detach(), geometry, surface.deformed.detach()
        )

    def _attach_to_rays(self, canonical: Tensor, view: RayBundle, frame: Frame) -> Tensor:
        x = canonical.detach().requires_grad_()
        basis = implicit_diff.orthogonal_basis(view.directions)
        from_origin = self.deform(x, frame.expression, frame.pose) - view.origin
        offset = (basis @ from_origin[..., None])[..., 0]
        sdf = self.geometry(x, self.geometry_code(frame)).sdf
        return implicit_diff.attach(x, torch.cat([offset, sdf[:, None]], dim=1))

    def _surface(self, canonical: Tensor, frame: Frame, *, graph: bool) -> SurfacePoints:
        """Return the points with normals J^-T grad sdf, differentiable if `graph` is true."""
        x = canonical if canonical.requires_grad else canonical.detach().requires_grad_()
        deformed = self.deform(x, frame.expression, frame.pose)
        jacobian = implicit_diff.jacobian(deformed, x, graph=graph)
        geometry = self.geometry(x, self.geometry_code(frame))
        gradient = torch.autograd.grad(geometry.sdf.sum(), x, create_graph=graph)[0]
        return SurfacePoints(
            x, implicit_diff.deformed_normal(gradient, jacobian), geometry, deformed
        )

    def sdf_at(self, canonical: Tensor, deformed: Tensor, frame: Frame) -> Tensor:
        """Return the signed distance at x_c' = x_c - J^-1 [(d(x_c) - x_d) - stopgrad(.)]."""
        with torch.enable_grad():
            x = canonical.detach().requires_grad_()
            attached = implicit_diff.attach(
                x, self.deform(x, frame.expression, frame.pose) - deformed
            )
        sdf: Tensor = self.geometry(attached, self.geometry_code(frame)).sdf
        return sdf

    def blend_fields(self, points: SurfacePoints, frame: Frame) -> Deformation | None:
        """Return the outputs of the deformation network at the canonical points."""
        fields: Deformation = self.deformation(points.canonical)
        return fields


def _parts(points: Tensor, size: int) -> tuple[Tensor, ...]:
    return torch.split(points, size if points.device.type == "cpu" else GPU_CHUNK_FACTOR * size)


def _repeats(roots: Tensor, valid: Tensor) -> Tensor:
    """Return the mask `[N, S]` of valid roots that repeat a root of an earlier start."""
    repeated = torch.zeros_like(valid)
    for later in range(1, valid.shape[1]):
        near = (roots[:, :later] - roots[:, later, None]).norm(dim=2) < SAME_ROOT
        repeated[:, later] = valid[:, later] & (near & valid[:, :later]).any(dim=1)
    return repeated
