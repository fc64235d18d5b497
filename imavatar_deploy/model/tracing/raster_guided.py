"""Raster: draw the deformed canonical surface, start every pixel from what it shows, and polish by Newton's method.

Where a ray meets the avatar is nearly known once its surface is: extracted in canonical space every so often, deformed
with the frame and drawn in milliseconds. From there Newton's method on [across (d(x_c) - origin), sdf(x_c)] needs one
or two steps. Only where the mesh cannot be trusted, next to outlines, is a ray sampled, and only there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from imavatar_deploy.errors import UsageError
from imavatar_deploy.model.correspondence import full_precision
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.head_avatar import HeadAvatarModel
from imavatar_deploy.model.surface.field import Field
from imavatar_deploy.model.surface.mesh import Mesh
from imavatar_deploy.rendering.workers import Workers

from .posed_field import PosedField, Rays, SignedDistance
from .proxy_mesh import CanonicalSurface, PosedMesh, quick_mesh
from .ray_finder import RayFinder
from .tracer import Tracer, TraceResult, cross

RESOLUTIONS = (32, 64, 128, 256)


class RasterTracer(Tracer):
    """Raster-guided tracing, for variants that know where a canonical point goes.

    Args:
        resolution: cells a side of the extraction of the canonical surface: 32 times a power of two. At 64 a refresh
            takes a third of the time, but lips and lids are rounded off: 40 pixels of the 1,770 of a reference frame
            meet another layer instead of 10, and polishing takes twice as long.
        keep: gives the part of an extracted canonical mesh that is seen; all of it by default.

    Raises:
        UsageError: another resolution.
    """

    name = "raster"
    summary = "draw the surface, then polish each pixel by Newton's method; fast"

    def __init__(
        self,
        resolution: int = 128,
        *,
        keep: Callable[[Mesh], Mesh] | None = None,
    ) -> None:
        if resolution not in RESOLUTIONS:
            raise UsageError(
                f"resolution must be one of {', '.join(map(str, RESOLUTIONS))}, got {resolution}"
            )
        self.resolution = resolution
        self._keep = keep
        self._workers = Workers(1)  # a mesh of this size is drawn in a millisecond
        self._surface: CanonicalSurface | None = None

    @torch.no_grad()
    def refresh(self, model: HeadAvatarModel) -> None:
        """Extract the canonical surface anew; what comes of it depends on the weights alone, not on what was before.

        Raises:
            UsageError: `model` maps backward.
            InputError: it has no surface.
        """
        forward = _forward(model)
        field = Field(
            SignedDistance(forward.geometry, None), device=forward.canonical_transforms.device
        )
        with full_precision(field.device):
            mesh = quick_mesh(field, self.resolution)
            self._surface = CanonicalSurface(self._keep(mesh) if self._keep else mesh, forward)

    @torch.no_grad()
    def trace(
        self,
        model: HeadAvatarModel,
        frame: Frame,
        view: RayBundle,
        *,
        foreground: Tensor | None = None,
    ) -> TraceResult:
        """See `Tracer.trace`. The first trace of an instance refreshes it.

        Without `foreground` only hits are looked for: other rays come back with a distance of +1 and not valid.

        Raises:
            UsageError: `model` maps backward.
            InputError: it has no surface.
        """
        forward = _forward(model)
        if self._surface is None:
            self.refresh(model)
        assert self._surface is not None
        with full_precision(view.directions.device):
            mesh = PosedMesh(self._surface, forward, frame, view, self._workers)
            finder = RayFinder(
                PosedField(forward, frame), mesh, Rays.of(view), view.pixels, cross(view)
            )
            finder.find_hits()
            if foreground is not None:
                finder.find_smallest(foreground)
            return finder.traced()


def _forward(model: HeadAvatarModel) -> ForwardAvatarModel:
    if not isinstance(model, ForwardAvatarModel):
        raise UsageError(
            f"the raster tracer needs a variant that maps forward, and {model.name} maps {model.direction}; "
            "use --tracer march"
        )
    return model
