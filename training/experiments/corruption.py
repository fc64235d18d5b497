"""Corruptions of a training set, the same for the same seed: noise on tracked poses, holes and patches in masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks import FlameTrack

from ..dataset import FaceDataset, FrameObservation

PATCH = 61 / 512
"""Side of a damaged patch as a share of the image's: 61 pixels of 512 (supplementary, Table 4)."""

Change = Callable[[int, FrameObservation], FrameObservation]


class CorruptedDataset(FaceDataset):
    """A dataset seen through a corruption; everything that is not corrupted stays the original's.

    Args:
        dataset: stays as it is.
        track: instead of the dataset's own.
        change: what becomes of the observation of each frame, by its index.
    """

    def __init__(
        self, dataset: FaceDataset, *, track: FlameTrack | None = None, change: Change | None = None
    ) -> None:
        self._dataset = dataset
        self._change = change
        self.size = dataset.size
        self.track = track or dataset.track

    def __len__(self) -> int:
        return len(self._dataset)

    @property
    def semantic_known(self) -> bool:
        """See `FaceDataset`."""
        return self._dataset.semantic_known

    @property
    def head(self) -> HeadModel:
        """See `FaceDataset`."""
        return self._dataset.head

    def observation(self, index: int) -> FrameObservation:
        """See `FaceDataset`."""
        seen = self._dataset.observation(index)
        return seen if self._change is None else self._change(index, seen)


def with_pose_noise(dataset: FaceDataset, radians: float, seed: int) -> CorruptedDataset:
    """Every frame's pose with normal noise of a standard deviation on each of its 15 angles, as a bad tracker's."""
    noise = np.random.default_rng([seed, 1]).normal(0.0, radians, dataset.track.pose.shape)
    noisy = (dataset.track.pose + noise).astype(np.float32)
    return CorruptedDataset(dataset, track=replace(dataset.track, pose=noisy))


def with_damaged_masks(dataset: FaceDataset, share: float, seed: int) -> CorruptedDataset:
    """A share of the frames with one square of their mask's outline wrong, as a bad matting's.

    The square is centred on a random pixel of the outline; all of it becomes foreground or all of it background, by
    chance. Pixels that leave the mask become white; those that join it show what the dataset has there.
    """
    count = round(share * len(dataset))
    chosen = set(np.random.default_rng([seed, 2]).permutation(len(dataset))[:count].tolist())

    def change(index: int, seen: FrameObservation) -> FrameObservation:
        if index not in chosen:
            return seen
        mask = damaged(seen.mask, np.random.default_rng([seed, 3, index]))
        image = np.where(mask[..., None], seen.image, np.float32(1.0))
        return replace(seen, mask=mask, image=image)

    return CorruptedDataset(dataset, change=change)


def damaged(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """A mask `[H, W]` with one square of its outline filled or emptied; one without an outline stays as it is."""
    row, column = _place_on_outline(mask, rng)
    side = max(1, round(PATCH * len(mask)))
    top, left = max(0, row - side // 2), max(0, column - side // 2)
    changed = mask.copy()
    changed[top : top + side, left : left + side] = rng.random() < 0.5
    return changed


def _place_on_outline(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[int, int]:
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    places = np.argwhere(mask & ~inner)
    if not len(places):
        return 0, 0
    row, column = places[rng.integers(len(places))]
    return int(row), int(column)
