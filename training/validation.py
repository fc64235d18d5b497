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
from .inputs import Inputs

Picture = NDArray[np.floating[Any]]


class Validation(NamedTuple):
    """How some frames look and how good they are."""

    picture: Picture  # [frames x S, 3 x S, 3]: render, truth, normals
    quality: dict[str, float]
    """Means over the frames: `psnr` of the whole image; `l1` of colours in 0..1 where render and truth overlap; `iou`
    of the masks."""


def evenly(count: int, frames: int) -> list[int]:
    """At most `count` of `frames` frame numbers, evenly spread, neither end among them."""
    return sorted({(2 * place + 1) * frames // (2 * count) for place in range(count)})


def validate(
    model: Variant, inputs: Inputs, dataset: FaceDataset, frames: list[int], size: int, tracer: Tracer
) -> Validation:
    """Render `frames` at `size` x `size` pixels and hold them against the dataset's images."""
    rows, qualities = [], []
    for frame in frames:
        row, quality = _compare(model, inputs, dataset, frame, size, tracer)
        rows.append(row)
        qualities.append(quality)
    means = {name: float(np.mean([quality[name] for quality in qualities])) for name in qualities[0]}
    return Validation(np.concatenate(rows), means)


@torch.no_grad()
def _compare(
    model: Variant, inputs: Inputs, dataset: FaceDataset, frame: int, size: int, tracer: Tracer
) -> tuple[Picture, dict[str, float]]:
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
    return np.concatenate([made.rgb, truth, normals], axis=1), quality


def _resized(picture: Picture, size: int) -> Picture:
    """Every so many pixels, since pixel centres are at integer coordinates and a render does not blur either."""
    if picture.shape[0] % size == 0:
        step = picture.shape[0] // size
        return picture[::step, ::step]
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), dtype=picture.dtype)
