"""Render whole images of a model with any tracer, for validation and evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Bool, Float32, Shaped
from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import UsageError
from imavatar_deploy.model.tracing.ray_march import MarchTracer
from imavatar_deploy.model.tracing.tracer import Tracer

from .frame import Frame, RayBundle
from .head_avatar import HeadAvatarModel
from .radiance_field import RadianceFieldModel, RayIntegral

SHADING_CHUNK = 2048
"""Surface points shaded at once: bounds the memory of the autograd graph of the normals."""

FIELD_RAYS = 1024
"""Rays of a radiance field integrated at once; each has dozens of samples."""


@dataclass(frozen=True)
class Rendering:
    """An image and its surface points; all but `rgb` is zero where the mask is false."""

    rgb: Float32[Array, "H W 3"]
    """Colour in 0..1."""
    normal: Float32[Array, "H W 3"]
    """Unit normal of the deformed surface, model space."""
    mask: Bool[Array, "H W"]
    """Whether the pixel shows the avatar."""
    depth: Float32[Array, "H W"]
    """Distance along the camera's axis, model units."""
    canonical: Float32[Array, "H W 3"]
    """Canonical point in the pixel, model units."""
    deformed: Float32[Array, "H W 3"]
    """The same point in deformed space, model units."""


@torch.no_grad()
def render(
    model: HeadAvatarModel,
    frame: Frame,
    camera: Camera,
    size: tuple[int, int],
    tracer: Tracer,
    *,
    background: float = 1.0,
) -> Rendering:
    """Render `model` in `frame` as `camera` sees it.

    As in the published evaluation, a pixel shows what the tracer hits; neither a ground-truth mask
    nor the implicit correction takes part.

    A radiance field has no surface to hit: its colours are integrals along rays over the
    background, its mask is an opacity over one half, and points and normals are those at the mean
    distance of what a ray sees.

    Args:
        model: any variant.
        frame: parameters of the frame, on the model's device.
        camera: intrinsics and pose.
        size: width and height in pixels.
        tracer: finds the surface points; of the march tracer a radiance field takes the number of
            samples.
        background: grey value in 0..1 of pixels without a surface point.

    Raises:
        UsageError: the tracer cannot trace this variant.
    """
    view = RayBundle.of(camera, size, device=next(model.parameters()).device)
    if isinstance(model, RadianceFieldModel):
        return _render_field(model, frame, view, tracer, background)
    traced = tracer.trace(model, frame, view)
    mask = traced.hit & traced.valid
    covered = mask.nonzero()[:, 0]
    colours = [torch.zeros_like(traced.canonical[:0])]
    normals = [torch.zeros_like(traced.canonical[:0])]
    for part in torch.split(covered, SHADING_CHUNK):
        surface = model.attach_gradients(
            traced.canonical[part], traced.deformed[part], view.select(part), frame
        )
        colours.append(model.colour(surface, frame))
        normals.append(surface.normal)
    return _rendering(
        view,
        mask,
        {
            "rgb": torch.cat(colours),
            "normal": torch.cat(normals),
            "depth": _depth(traced.deformed[covered], camera),
            "canonical": traced.canonical[covered],
            "deformed": traced.deformed[covered],
        },
        torch.full((len(mask), 3), background, device=mask.device),
    )


def _render_field(
    model: RadianceFieldModel, frame: Frame, view: RayBundle, tracer: Tracer, background: float
) -> Rendering:
    """Render the rays of a view by integrals, as `render` describes."""
    if not isinstance(tracer, MarchTracer):
        raise UsageError(
            f"{model.name} is rendered by samples on rays and cannot use the {tracer.name} "
            "tracer; use --tracer march"
        )
    rays = torch.split(torch.arange(len(view), device=view.directions.device), FIELD_RAYS)
    parts = [model.integrate(view.select(part), frame, tracer.samples) for part in rays]
    seen = RayIntegral(*(torch.cat(values) for values in zip(*parts, strict=True)))
    over = seen.colour + (1.0 - seen.opacity)[:, None] * background
    mask = seen.opacity > 0.5
    covered = mask.nonzero()[:, 0]
    deformed = view.at(seen.distance)[covered]
    canonical = [torch.zeros_like(deformed[:0])]
    normals = [torch.zeros_like(deformed[:0])]
    for part in torch.split(torch.arange(len(covered), device=mask.device), SHADING_CHUNK):
        surface = model.attach_gradients(
            deformed[part], deformed[part], view.select(covered[part]), frame
        )
        canonical.append(surface.canonical)
        normals.append(surface.normal)
    return _rendering(
        view,
        mask,
        {
            "rgb": over[covered],
            "normal": torch.cat(normals),
            "depth": _depth(deformed, view.camera),
            "canonical": torch.cat(canonical),
            "deformed": deformed,
        },
        over,
    )


def _rendering(
    view: RayBundle, mask: Tensor, values: dict[str, Tensor], background: Tensor
) -> Rendering:
    """Arrange pixels as images.

    Args:
        mask: `[N]` the pixels that `values` are of, of all pixels of the view.
        values: fields of `Rendering`, a row for each pixel of the mask.
        background: `[N, 3]` colours off the mask.
    """
    width, height = view.size

    def image(pixels: Tensor) -> Shaped[Array, "H W ..."]:
        return np.ascontiguousarray(pixels.reshape(height, width, *pixels.shape[1:]).cpu().numpy())

    def spread(rows: Tensor, pixels: Tensor) -> Shaped[Array, "H W ..."]:
        pixels = pixels.to(rows.dtype).clone()
        pixels[mask] = rows
        return image(pixels)

    def from_zero(name: str) -> Shaped[Array, "H W ..."]:
        rows = values[name]
        return spread(rows, rows.new_zeros(len(mask), *rows.shape[1:]))

    return Rendering(
        rgb=spread(values["rgb"], background),
        normal=from_zero("normal"),
        mask=image(mask),
        depth=from_zero("depth"),
        canonical=from_zero("canonical"),
        deformed=from_zero("deformed"),
    )


def _depth(deformed: Tensor, camera: Camera) -> Tensor:
    """Return the distance `[N]` of points `[N, 3]` along the camera's axis."""
    row = torch.from_numpy(camera.world_to_camera[2]).to(deformed)
    return -(deformed @ row[:3] + row[3])
