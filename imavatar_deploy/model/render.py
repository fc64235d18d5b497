"""Render whole images of a model with any tracer, for validation and evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Bool, Float32, Shaped
from imavatar_deploy.camera import Camera
from imavatar_deploy.model.tracing.tracer import Tracer, TraceResult

from .frame import Frame, RayBundle
from .head_avatar import HeadAvatarModel

SHADING_CHUNK = 2048
"""Surface points shaded at once: bounds the memory of the autograd graph of the normals."""


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

    Args:
        model: any variant.
        frame: parameters of the frame, on the model's device.
        camera: intrinsics and pose.
        size: width and height in pixels.
        tracer: finds the surface points.
        background: grey value in 0..1 of pixels without a surface point.
    """
    view = RayBundle.of(camera, size, device=next(model.parameters()).device)
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
    width, height = size

    def image(values: Tensor, fill: float = 0.0) -> Shaped[Array, "H W ..."]:
        pixels = torch.full(
            (len(mask), *values.shape[1:]), fill, dtype=values.dtype, device=values.device
        )
        pixels[covered] = values
        return np.ascontiguousarray(pixels.reshape(height, width, *values.shape[1:]).cpu().numpy())

    return Rendering(
        rgb=image(torch.cat(colours), background),
        normal=image(torch.cat(normals)),
        mask=np.ascontiguousarray(mask.reshape(height, width).cpu().numpy()),
        depth=image(_depth(traced, camera)[covered]),
        canonical=image(traced.canonical[covered]),
        deformed=image(traced.deformed[covered]),
    )


def _depth(traced: TraceResult, camera: Camera) -> Tensor:
    """Return the distance `[N]` of the points along the camera's axis."""
    row = torch.from_numpy(camera.world_to_camera[2]).to(traced.deformed)
    return -(traced.deformed @ row[:3] + row[3])
