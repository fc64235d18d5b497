"""Validation: a few frames rendered as the run has them by now, beside ground truth, with their quality."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils import parametrize

from imavatar_deploy.image_quality import iou, l1, psnr
from imavatar_deploy.model.render import render
from imavatar_deploy.model.tracing import Tracer
from imavatar_deploy.model.variant import Variant

from .dataset import FaceDataset
from .head_depth import head_depth
from .inputs import Inputs
from .lobes import Lobe, largest_lobe

Picture = NDArray[np.floating[Any]]


class FrameQuality(NamedTuple):
    """One frame of a validation."""

    name: str
    """Of the frame, as its files are called."""
    quality: dict[str, float]
    """`psnr` of the image, `l1` of colours in 0..1 where both masks are, `iou` of the masks."""
    column: int
    """Of the middle of the largest error, in the validation image."""
    row: int
    """Likewise."""
    lobe: Lobe | None
    """Skin that stands in front of the head model, where there is some and the data has labels."""


class Validation(NamedTuple):
    """How some frames look and how good they are."""

    picture: Picture  # [frames x S, 3 x S, 3]: render, truth, normals
    frames: list[FrameQuality]

    @property
    def quality(self) -> dict[str, float]:
        """Means over the frames of their `psnr`, `l1` and `iou`."""
        rows = [frame.quality for frame in self.frames]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    @property
    def lobe(self) -> float:
        """Share of the skin that the largest lobe of any frame has; 0 without labels, too."""
        return max(frame.lobe.share if frame.lobe else 0.0 for frame in self.frames)


def evenly(count: int, frames: int) -> list[int]:
    """At most `count` of `frames` frame numbers, evenly spread, neither end among them."""
    return sorted({(2 * place + 1) * frames // (2 * count) for place in range(count)})


def validate(
    model: Variant, inputs: Inputs, dataset: FaceDataset, frames: list[int], size: int, tracer: Tracer
) -> Validation:
    """Render `frames` at `size` x `size` pixels and hold them against the dataset's images."""
    compared = [_compare(model, inputs, dataset, frame, size, tracer) for frame in frames]
    pictures, qualities = zip(*compared, strict=True)
    return Validation(np.concatenate(pictures), list(qualities))


@torch.no_grad()
def _compare(
    model: Variant, inputs: Inputs, dataset: FaceDataset, frame: int, size: int, tracer: Tracer
) -> tuple[Picture, FrameQuality]:
    seen = dataset.observation(frame)
    truth, mask = _resized(seen.image, size), _resized(seen.mask.astype(np.float32), size) > 0.5
    driving, _ = inputs(frame)
    camera = inputs.placed(dataset.track.cameras[frame], frame)
    with parametrize.cached():
        made = render(model, driving, camera, (size, size), tracer)
    both = mask & made.mask
    quality = {
        "psnr": psnr(made.rgb, truth),
        "l1": l1(made.rgb, truth, both) if both.any() else 1.0,
        "iou": iou(made.mask, mask),
    }
    normals = np.where(made.mask[..., None], (made.normal + 1.0) / 2.0, 1.0)
    error = np.where(mask | made.mask, np.abs(made.rgb - truth).mean(axis=2), 0.0)
    lobe = None
    if seen.semantic is not None:
        codes = (driving.expression.cpu().numpy(), driving.pose.cpu().numpy())
        head = head_depth(dataset.head, *codes, camera, size)
        lobe = largest_lobe(made.depth, made.mask, head, _nearest(seen.semantic, size))
    row = np.concatenate([made.rgb, truth, normals], axis=1)
    return row, FrameQuality(seen.name, quality, *_middle(error), lobe)


def _middle(error: Picture) -> tuple[int, int]:
    """Column and row where the error `[S, S]`, blurred by a fifteenth of the image, is largest."""
    side = max(1, error.shape[0] // 15)
    row, column = np.unravel_index(int(cv2.blur(error, (side, side)).argmax()), error.shape)
    return int(column), int(row)


def _nearest(labels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """[S, S] label ids, each of one pixel."""
    chosen = cv2.resize(labels, (size, size), interpolation=cv2.INTER_NEAREST)
    return np.asarray(chosen, dtype=np.uint8)


def _resized(picture: Picture, size: int) -> Picture:
    """Every so many pixels, since pixel centres are at integer coordinates and a render does not blur either."""
    if picture.shape[0] % size == 0:
        step = picture.shape[0] // size
        return picture[::step, ::step]
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), dtype=picture.dtype)
