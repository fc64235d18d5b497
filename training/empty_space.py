"""Empty space: canonical points that a frame shows to be background must be outside; keeps the air clear of floaters.

The raster tracer looks at rays near the surface it knows, so what grows elsewhere would be seen only when it is large.
Any canonical point can be asked for in any frame: deform it, project it, and look at the mask (a visual hull).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, softplus

from imavatar_deploy.model.forward import ForwardVariant
from imavatar_deploy.model.frame import Frame, View
from imavatar_deploy.model.variant import Variant

from .pixels import Batch

MARGIN = 2
"""Pixels around the mask that prove nothing."""


def empty_space_term(model: Variant, frame: Frame, view: View, batch: Batch, sharpness: float) -> Tensor:
    """Binary cross-entropy of occupancy at the batch's points in space that are seen to be empty, / all of them.

    A backward variant takes its points in deformed space, a forward one in canonical space: neither has to search.
    """
    points = batch.space[_seen_empty(batch.space, model, frame, view, batch.silhouette)]
    if isinstance(model, ForwardVariant):
        sdf: Tensor = model.geometry(points, model.geometry_code(frame)).sdf
    else:
        sdf = model.off_surface(points, points, frame)
    return softplus(-sharpness * sdf).sum() / (sharpness * max(1, len(batch.space)))


@torch.no_grad()
def _seen_empty(points: Tensor, model: Variant, frame: Frame, view: View, silhouette: Tensor) -> Tensor:
    placed = model.deform(points, frame.expression, frame.pose) if isinstance(model, ForwardVariant) else points
    return seen_empty(placed, view, silhouette)


class Pixels(NamedTuple):
    """Where K deformed points are in an image."""

    column: Tensor  # [K] integer, within the image
    row: Tensor  # [K] likewise
    depth: Tensor  # [K] along the camera's axis, model units
    inside: Tensor  # [K] bool: in front of the camera, and in the image; the rest means nothing elsewhere


def projected(points: Tensor, view: View, size: Sequence[int]) -> Pixels:
    """The pixels of deformed points `[K, 3]` in an image of `size` (height, width)."""
    height, width = size
    rotation = torch.from_numpy(view.camera.world_to_camera[:, :3]).to(points)
    fx, fy, cx, cy = view.camera.intrinsics.tolist()
    x, y, z = ((points - view.origin.detach()) @ rotation.T).unbind(dim=1)
    depth = z.clamp(max=-1e-6)
    column = (cx * width - fx * width * x / depth).round().long()
    row = (cy * height + fy * height * y / depth).round().long()
    inside = (z < 0.0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return Pixels(column.clamp(0, width - 1), row.clamp(0, height - 1), -z, inside)


def seen_empty(points: Tensor, view: View, silhouette: Tensor) -> Tensor:
    """[K] bool: deformed points `[K, 3]` whose pixel and its neighbours are background; not those off the image."""
    pixels = projected(points, view, silhouette.shape)
    near = max_pool2d(silhouette[None, None].float(), 2 * MARGIN + 1, stride=1, padding=MARGIN)[0, 0] > 0.0
    empty: Tensor = pixels.inside & ~near[pixels.row, pixels.column]
    return empty
