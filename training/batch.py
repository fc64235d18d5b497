"""Training batches: the pixels of one frame that a training step uses, with colours and masks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Bool, Float32, Int64, UInt8
from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import BOUNDING_RADIUS, CONDITION_SIZE
from imavatar_deploy.dataset import FaceDataset

from .semantics import FEATURE_LABELS
from .settings import Schedule

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""


class Batch(NamedTuple):
    """N pixels of one image."""

    frame: int
    """Index of the frame in the dataset."""
    camera: Camera
    size: tuple[int, int]
    """Width and height of the whole image."""
    pixels: Tensor  # [N, 2] integer column and row
    colour: Tensor  # [N, 3] in 0..1, white outside of the mask
    mask: Tensor  # [N] bool
    semantic: Tensor | None  # [N] label ids, where the data has them
    silhouette: Tensor  # [H, W] bool, the whole image's mask
    space: Tensor  # [K, 3] canonical points anywhere in the bounding sphere
    nudges: Tensor  # [M, 3] random directions to neighbours of surface points
    noise: Tensor | None = None  # [N, 53] added to the condition of the texture network
    air: Tensor | None = None  # [A, 4] canonical points around the head, least signed distance
    limit: Tensor | None = None  # [H, W] depth up to which there is only air; with `air`
    jitter: Tensor | None = None  # [N] position of samples on rays in 0..1, for radiance fields

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on `device`."""
        semantic = None if self.semantic is None else self.semantic.to(device)
        return self._replace(
            pixels=self.pixels.to(device),
            colour=self.colour.to(device),
            mask=self.mask.to(device),
            semantic=semantic,
            silhouette=self.silhouette.to(device),
            space=self.space.to(device),
            nudges=self.nudges.to(device),
            air=None if self.air is None else self.air.to(device),
            limit=None if self.limit is None else self.limit.to(device),
            noise=None if self.noise is None else self.noise.to(device),
            jitter=None if self.jitter is None else self.jitter.to(device),
        )


def draw_batch(
    dataset: FaceDataset, frame: int, schedule: Schedule, space: int, rng: np.random.Generator
) -> Batch:
    """Draw the pixels of a frame for one step.

    Args:
        dataset: frames of one subject.
        frame: index of the frame.
        schedule: number and distribution of the pixels, and the condition noise.
        space: number of points in the bounding sphere.
        rng: generator of all random numbers of the batch.
    """
    observed = dataset.observation(frame)
    semantic = observed.semantic
    features = int(schedule.features * schedule.pixels) if semantic is not None else 0
    pixels = draw_pixels(observed.mask, observed.bbox, schedule.pixels - features, rng)
    if features and semantic is not None:
        pixels = np.concatenate([pixels, draw_labelled(semantic, FEATURE_LABELS, features, rng)])
    at = (pixels[:, 1], pixels[:, 0])
    height, width = observed.mask.shape
    return Batch(
        frame=frame,
        camera=dataset.track.cameras[frame],
        size=(width, height),
        pixels=torch.from_numpy(pixels),
        colour=torch.from_numpy(observed.image[at]),
        mask=torch.from_numpy(observed.mask[at]),
        semantic=None if semantic is None else torch.from_numpy(semantic[at].astype(np.int64)),
        silhouette=torch.tensor(observed.mask),
        space=torch.from_numpy(draw_space(space, rng)),
        nudges=torch.from_numpy(rng.normal(size=(schedule.smooth_points, 3)).astype(np.float32)),
        noise=torch.from_numpy(draw_noise(len(pixels), noise, rng))
        if (noise := schedule.condition_noise)
        else None,
    )


def draw_labelled(
    semantic: UInt8[Array, "H W"], ids: tuple[int, ...], count: int, rng: np.random.Generator
) -> Int64[Array, "N 2"]:
    """Columns and rows of at most `count` different pixels whose label is among `ids`."""
    rows, columns = np.nonzero(np.isin(semantic, ids))
    indices = _draw(np.arange(len(rows)), count, rng)
    return np.stack([columns[indices], rows[indices]], axis=1)


def draw_noise(count: int, size: float, rng: np.random.Generator) -> Float32[Array, "N 53"]:
    """Normal noise of standard deviation `size` in half of `count` rows, zeros in the others."""
    noise = size * rng.normal(size=(count, CONDITION_SIZE)) * (rng.uniform(size=(count, 1)) < 0.5)
    return np.asarray(noise, dtype=np.float32)


def draw_space(count: int, rng: np.random.Generator) -> Float32[Array, "N 3"]:
    """Random points, uniformly distributed in the bounding sphere, model units."""
    direction = rng.normal(size=(count, 3))
    radius = BOUNDING_RADIUS * rng.uniform(size=(count, 1)) ** (1.0 / 3.0)
    return np.asarray(
        radius * direction / np.linalg.norm(direction, axis=1, keepdims=True), dtype=np.float32
    )


def draw_pixels(
    mask: Bool[Array, "H W"], bbox: Box | None, count: int, rng: np.random.Generator
) -> Int64[Array, "N 2"]:
    """Columns and rows: half from the whole image, half from the face's box (as published).

    No pixel is repeated within a half. A half with fewer than `count / 2` pixels returns all of
    them.

    Args:
        mask: pixels of the person; its bounds are the box where `bbox` is None.
        bbox: box of the face; only pixels strictly inside count.
    """
    height, width = mask.shape
    everywhere = np.arange(height * width)
    columns = everywhere % width
    rows = everywhere // width
    x0, y0, x1, y1 = _bounds(mask) if bbox is None else bbox
    inside = np.flatnonzero((columns > x0) & (columns < x1) & (rows > y0) & (rows < y1))
    focus = inside if len(inside) else everywhere
    halves = (_draw(everywhere, count - count // 2, rng), _draw(focus, count // 2, rng))
    indices = np.concatenate(halves)
    return np.stack([columns[indices], rows[indices]], axis=1)


def _draw(pool: Int64[Array, " M"], count: int, rng: np.random.Generator) -> Int64[Array, " N"]:
    return rng.choice(pool, min(count, len(pool)), replace=False)


def _bounds(mask: Bool[Array, "H W"]) -> Box:
    """The box just outside the mask's pixels, or outside the whole image for an empty mask."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return (-1.0, -1.0, float(mask.shape[1]), float(mask.shape[0]))
    return (float(columns[0] - 1), float(rows[0] - 1), float(columns[-1] + 1), float(rows[-1] + 1))
