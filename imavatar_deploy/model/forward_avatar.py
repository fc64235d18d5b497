"""ForwardVariant: variants that know where a canonical point goes and search where a deformed point comes from."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from . import implicit_diff
from .correspondence import CONVERGED, ForwardMap, broyden, full_precision, starting_bones, starts
from .deformation import Deformation
from .frame import Frame, RayBundle
from .geometry import Geometry
from .head_avatar import Correspondences, HeadAvatarModel, SurfacePoints

SEARCH_CHUNK = 4096
"""Points searched at once: enough to keep the shrinking set of active searches worth a call, still near the cache."""

DISTANCE_CHUNK = 2048
"""Roots asked for their distance at once: activations of 512 channels then stay in the cache."""

CARD = 32
"""A graphics card takes this many times as much at once."""

SAME_ROOT = 1e-4
"""Roots nearer than this (ten times what a search leaves, model units) are one, and asked for its distance once."""


class ForwardAvatarModel(HeadAvatarModel):
    """The forward half of `Variant`: search by Broyden's method, gradients by implicit differentiation."""

    direction: ClassVar[str] = "forward"

    deformation: nn.Module
    """Canonical points -> `Deformation`."""

    @abstractmethod
    def deform(self, x: Tensor, expression: Tensor, pose: Tensor) -> Tensor:
        """Canonical points -> deformed points `[N, 3]`, differentiable in everything."""

    @abstractmethod
    def forward_map(self, frame: Frame) -> ForwardMap:
        """`deform` of one frame and the skinning weights, as fast as can be and without gradients."""

    def find_canonical(self, points: Tensor, frame: Frame) -> Correspondences:
        """Three searches for each point; the valid root of smallest signed distance (see `HeadAvatarModel.find_canonical`)."""
        with torch.no_grad(), full_precision(points.device):
            forward = self.forward_map(frame)
            transforms = self.transforms(frame.expression, frame.pose)
            found = [
                self._search(part, frame, forward, transforms)
                for part in _parts(points, SEARCH_CHUNK)
            ]
            return Correspondences(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def _search(
        self, points: Tensor, frame: Frame, forward: ForwardMap, transforms: Tensor
    ) -> Correspondences:
        bones = starting_bones(len(transforms))
        start = starts(points, transforms[bones], self.canonical_transforms[bones])
        targets = points[:, None].expand_as(start).flatten(end_dim=1)
        canonical, residual = broyden(forward, start.flatten(end_dim=1), targets, transforms)
        roots, valid = (
            canonical.reshape(start.shape),
            (residual < CONVERGED).reshape(start.shape[:2]),
        )
        smallest, best = self._distances(roots, valid & ~_repeats(roots, valid), frame).min(dim=1)
        rows, found = torch.arange(len(points), device=points.device), valid.any(dim=1)
        return Correspondences(roots[rows, best], torch.where(found, smallest, 1.0), found)

    def _distances(self, roots: Tensor, asked: Tensor, frame: Frame) -> Tensor:
        """[N, S] signed distance of the roots `[N, S, 3]` that are asked for; infinite elsewhere."""
        points, code = roots[asked], self.geometry_code(frame)
        sdf = torch.full_like(roots[..., 0], torch.inf)
        if len(points):
            sdf[asked] = torch.cat(
                [self.geometry(part, code).sdf for part in _parts(points, DISTANCE_CHUNK)]
            )
        return sdf

    def attach_gradients(
        self, canonical: Tensor, deformed: Tensor, view: RayBundle, frame: Frame
    ) -> SurfacePoints:
        """Surface points x_c' = x_c - (dF/dx_c)^-1 [F - stopgrad F] (see `Variant.attach_gradients`).

        F has the two components of d(x_c) - origin across the ray, and the signed distance. Without gradients enabled
        the points stay as they are.
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
        across = implicit_diff.across(view.directions)
        offset = (across @ (self.deform(x, frame.expression, frame.pose) - view.origin)[..., None])[
            ..., 0
        ]
        sdf = self.geometry(x, self.geometry_code(frame)).sdf
        return implicit_diff.attach(x, torch.cat([offset, sdf[:, None]], dim=1))

    def _surface(self, canonical: Tensor, frame: Frame, *, graph: bool) -> SurfacePoints:
        """The normal n_d = J^-T grad sdf keeps its second-order graph where `graph` says so."""
        x = canonical if canonical.requires_grad else canonical.detach().requires_grad_()
        deformed = self.deform(x, frame.expression, frame.pose)
        jacobian = implicit_diff.jacobian(deformed, x, graph=graph)
        geometry = self.geometry(x, self.geometry_code(frame))
        gradient = torch.autograd.grad(geometry.sdf.sum(), x, create_graph=graph)[0]
        return SurfacePoints(
            x, implicit_diff.deformed_normal(gradient, jacobian), geometry, deformed
        )

    def sdf_at(self, canonical: Tensor, deformed: Tensor, frame: Frame) -> Tensor:
        """Signed distance at x_c' = x_c - J^-1 [(d(x_c) - x_d) - stopgrad(.)] (see `Variant.sdf_at`)."""
        with torch.enable_grad():
            x = canonical.detach().requires_grad_()
            attached = implicit_diff.attach(
                x, self.deform(x, frame.expression, frame.pose) - deformed
            )
        sdf: Tensor = self.geometry(attached, self.geometry_code(frame)).sdf
        return sdf

    def blend_fields(self, points: SurfacePoints, frame: Frame) -> Deformation | None:
        """What the deformation network says of the canonical points."""
        fields: Deformation = self.deformation(points.canonical)
        return fields


def _parts(points: Tensor, size: int) -> tuple[Tensor, ...]:
    return torch.split(points, size if points.device.type == "cpu" else CARD * size)


def _repeats(roots: Tensor, valid: Tensor) -> Tensor:
    """[N, S] bool: a valid root that an earlier start of the same point has found already."""
    repeated = torch.zeros_like(valid)
    for later in range(1, valid.shape[1]):
        near = (roots[:, :later] - roots[:, later, None]).norm(dim=2) < SAME_ROOT
        repeated[:, later] = valid[:, later] & (near & valid[:, :later]).any(dim=1)
    return repeated
