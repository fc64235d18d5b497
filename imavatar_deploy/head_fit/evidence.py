"""What a video shows beside landmarks: the motion of the shoulders and the person's outline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64, Int32
from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.errors import InputError

HEAD = 0
"""Label of outline points of the head and its hair."""
NECK = 1
"""Label of outline points of the neck."""
SHOULDERS = 2
"""Label of outline points of the shoulders and what is below."""


@dataclass(frozen=True, eq=False)
class TorsoMotion:
    """In-plane rigid motion of the shoulders relative to a reference frame.

    A point p of the shoulders in the reference frame lies at
    `anchor + R(rotation) (p - anchor) + shift` in frame t. R(a) turns the column axis towards the
    row axis: (c, r) becomes (c cos a - r sin a, c sin a + r cos a).

    Raises:
        InputError: arrays of different lengths, or a reference that is no frame.
    """

    shift: Float32[Array, "T 2"]
    """Pixels: column, row."""
    rotation: Float32[Array, " T"]
    """Radians."""
    weight: Float32[Array, " T"]
    """0 (not measured) to 1."""
    anchor: Float32[Array, "2"]
    """Centre of the rotation, pixels."""
    reference: int = 0
    """Index of the frame with shift 0 and rotation 0."""

    def __post_init__(self) -> None:
        sizes = ensure_shape("shift of the torso", self.shift, ("T", 2))
        for name in ("rotation", "weight"):
            ensure_shape(f"{name} of the torso", getattr(self, name), (sizes["T"],))
        ensure_shape("anchor of the torso", self.anchor, (2,))
        if not 0 <= self.reference < sizes["T"]:
            raise InputError(
                f"the reference frame of the torso's motion must be one of its {sizes['T']} "
                f"frames, got {self.reference}"
            )

    def __len__(self) -> int:
        return len(self.shift)

    def part(self, frames: Any) -> TorsoMotion:
        """Return the motion of some frames, by a slice or indices.

        It stays relative to the same reference frame, which may be left out: `reference` is then 0.
        """
        index = np.arange(len(self))[frames]
        place = np.nonzero(index == self.reference)[0]
        return TorsoMotion(
            self.shift[index],
            self.rotation[index],
            self.weight[index],
            self.anchor,
            int(place[0]) if len(place) else 0,
        )

    def moved(self, points: Float64[Array, "N 2"]) -> Float64[Array, "T N 2"]:
        """Return where points of the reference frame lie in every frame, pixels."""
        matrices = self.matrices()
        centred = points - self.anchor
        moved = np.einsum("tij,nj->tni", matrices, centred)
        return np.asarray(moved + self.anchor + self.shift[:, None])

    def matrices(self) -> Float64[Array, "T 2 2"]:
        """Return the rotation matrix of every frame."""
        angle = self.rotation.astype(np.float64)
        rows = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        return np.moveaxis(np.array(rows), -1, 0)


@dataclass(frozen=True, eq=False)
class Silhouettes:
    """Outline of the person in every frame, as points with outward normals.

    Points where the picture's border cuts the person are left out. A frame without an outline has
    arrays of length 0. Some hundred points a frame suffice.

    Raises:
        InputError: arrays of different lengths or shapes.
    """

    contours: tuple[Float32[Array, "_ 2"], ...]
    """Points of each frame, pixels: column, row."""
    normals: tuple[Float32[Array, "_ 2"], ...]
    """Unit vectors from the person to the background, in the image."""
    labels: tuple[Int32[Array, " _"], ...]
    """HEAD, NECK or SHOULDERS of each point."""
    weight: Float32[Array, " T"]
    """0 (not usable) to 1, of each frame."""

    def __post_init__(self) -> None:
        frames = len(self.contours)
        ensure_shape("weight of the silhouettes", self.weight, (frames,))
        if not len(self.normals) == len(self.labels) == frames:
            raise InputError(
                "silhouettes need contours, normals and labels of the same frames, got "
                f"{frames}, {len(self.normals)} and {len(self.labels)}"
            )
        for points, normals, labels in zip(self.contours, self.normals, self.labels, strict=True):
            count = ensure_shape("contour of a silhouette", points, ("K", 2))["K"]
            ensure_shape("normals of a silhouette", normals, (count, 2))
            ensure_shape("labels of a silhouette", labels, (count,))

    def __len__(self) -> int:
        return len(self.contours)

    @classmethod
    def joined(cls, parts: Sequence[Silhouettes]) -> Silhouettes:
        """Return the outlines of all frames of several videos, one video after the other."""
        return cls(
            tuple(points for part in parts for points in part.contours),
            tuple(normals for part in parts for normals in part.normals),
            tuple(labels for part in parts for labels in part.labels),
            np.concatenate([part.weight for part in parts]),
        )

    def part(self, frames: Any) -> Silhouettes:
        """Return the outlines of some frames, by a slice or indices."""
        index = np.arange(len(self))[frames]
        return Silhouettes(
            tuple(self.contours[frame] for frame in index),
            tuple(self.normals[frame] for frame in index),
            tuple(self.labels[frame] for frame in index),
            self.weight[index],
        )
