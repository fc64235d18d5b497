"""Reproducible corruptions of a training set: noise on tracked poses, errors in masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from imavatar_deploy.arrays import Array, Bool
from imavatar_deploy.dataset import FaceDataset, FrameObservation
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks import FlameTrack

PATCH = 61 / 512
"""Side of a damaged square relative to the image's: 61 pixels of 512 (supplementary, Table 4)."""

Change = Callable[[int, FrameObservation], FrameObservation]
"""Index of a frame and its observation -> the corrupted observation."""


class CorruptedDataset(FaceDataset):
    """A view of a dataset with another track or changed observations.

    Args:
        dataset: the original, which is not modified.
        track: replaces the dataset's track.
        change: replaces the observation of each frame.
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
        """Whether the original has semantic labels."""
        return self._dataset.semantic_known

    @property
    def head(self) -> HeadModel:
        """The head model of the original."""
        return self._dataset.head

    def observation(self, index: int) -> FrameObservation:
        """Return the observation of a frame, changed by the corruption."""
        original = self._dataset.observation(index)
        return original if self._change is None else self._change(index, original)


def with_pose_noise(dataset: FaceDataset, radians: float, seed: int) -> CorruptedDataset:
    """Add normal noise to each of the 15 angles of every pose, as from a bad tracker.

    Args:
        radians: standard deviation.
    """
    noise = np.random.default_rng([seed, 1]).normal(0.0, radians, dataset.track.pose.shape)
    noisy = (dataset.track.pose + noise).astype(np.float32)
    return CorruptedDataset(dataset, track=replace(dataset.track, pose=noisy))


def with_damaged_masks(dataset: FaceDataset, share: float, seed: int) -> CorruptedDataset:
    """Damage one square of the mask in a share of the frames, as from bad matting.

    The square is centred on a random pixel of the outline and becomes either foreground or
    background. Pixels that leave the mask become white; pixels that join it keep the dataset's
    colour.
    """
    count = round(share * len(dataset))
    frames = set(np.random.default_rng([seed, 2]).permutation(len(dataset))[:count].tolist())

    def change(index: int, original: FrameObservation) -> FrameObservation:
        if index not in frames:
            return original
        mask = damage_mask(original.mask, np.random.default_rng([seed, 3, index]))
        image = np.where(mask[..., None], original.image, np.float32(1.0))
        return replace(original, mask=mask, image=image)

    return CorruptedDataset(dataset, change=change)


def damage_mask(mask: Bool[Array, "H W"], rng: np.random.Generator) -> Bool[Array, "H W"]:
    """Fill or empty one square on the outline of a mask, or in its corner if it has no outline."""
    row, column = _place_on_outline(mask, rng)
    side = max(1, round(PATCH * len(mask)))
    top = max(0, row - side // 2)
    left = max(0, column - side // 2)
    changed = mask.copy()
    changed[top : top + side, left : left + side] = rng.random() < 0.5
    return changed


def _place_on_outline(mask: Bool[Array, "H W"], rng: np.random.Generator) -> tuple[int, int]:
    """Row and column of a random pixel of the outline; zeros if there is none."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    places = np.argwhere(mask & ~inner)
    if not len(places):
        return 0, 0
    row, column = places[rng.integers(len(places))]
    return int(row), int(column)
