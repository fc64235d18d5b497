"""Render: a whole image of a variant as it is in one frame, by any tracer, as evaluation and validation want it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imavatar_deploy.camera import Camera
from imavatar_deploy.model.tracing.tracer import Tracer, TraceResult

from .frame import Frame, RayBundle
from .head_avatar import HeadAvatarModel

Float = NDArray[np.float32]

SHADED = 2048
"""Surface points shaded at once: bounds the memory of the normals' graph."""


@dataclass(frozen=True)
class Rendering:
    """An image and what lies behind each of its pixels; zero where the mask is false, but for colour."""

    rgb: Float
    """[H, W, 3] in 0..1, the background as asked for."""
    normal: Float
    """[H, W, 3] unit, of the deformed surface, model space."""
    mask: NDArray[np.bool_]
    """[H, W] whether the pixel shows the avatar."""
    depth: Float
    """[H, W] distance along the camera's axis, model units."""
    canonical: Float
    """[H, W, 3] the canonical point that is seen, model units."""
    deformed: Float
    """[H, W, 3] where it is in the frame, model units."""


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
    """The image of `size` (width, height) that `camera` takes of `model` in `frame`.

    No ground-truth mask and no implicit correction take part: what the tracer hits is what is seen (published
    evaluation).

    Args:
        background: grey value in 0..1 of the pixels that show nothing.
    """
    view = RayBundle.of(camera, size, device=next(model.parameters()).device)
    traced = tracer.trace(model, frame, view)
    shown = traced.hit & traced.valid
    seen = shown.nonzero()[:, 0]
    colours, normals = (
        [torch.zeros_like(traced.canonical[:0])],
        [torch.zeros_like(traced.canonical[:0])],
    )
    for part in torch.split(seen, SHADED):
        surface = model.attach_gradients(
            traced.canonical[part], traced.deformed[part], view.select(part), frame
        )
        colours.append(model.colour(surface, frame))
        normals.append(surface.normal)
    width, height = size

    def image(values: Tensor, fill: float = 0.0) -> NDArray[Any]:
        pixels = torch.full(
            (len(shown), *values.shape[1:]), fill, dtype=values.dtype, device=values.device
        )
        pixels[seen] = values
        return np.ascontiguousarray(pixels.reshape(height, width, *values.shape[1:]).cpu().numpy())

    return Rendering(
        rgb=image(torch.cat(colours), background),
        normal=image(torch.cat(normals)),
        mask=np.ascontiguousarray(shown.reshape(height, width).cpu().numpy()),
        depth=image(_depth(traced, camera)[seen]),
        canonical=image(traced.canonical[seen]),
        deformed=image(traced.deformed[seen]),
    )


def _depth(traced: TraceResult, camera: Camera) -> Tensor:
    """[N] distance in front of the camera's plane."""
    row = torch.from_numpy(camera.world_to_camera[2]).to(traced.deformed)
    return -(traced.deformed @ row[:3] + row[3])
