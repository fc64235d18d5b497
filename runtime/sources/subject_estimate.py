"""What camera tracking learns of a person: faces are collected, and a thread estimates from them.

A quick estimate of the shape serves after a second. A calibration, from five seconds of faces with
the outline of the person, replaces it: it also finds where the landmarks lie on this head, and the
pitch of the head, which landmarks alone do not tell from the length of the face.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.head_fit import Silhouettes
from imavatar_deploy.vision.outline import OutlineCollector, face_size

Image = UInt8[Array, "H W 3"]
"""RGB."""

Landmarks = Float32[Array, "L 3"]

MIN_CONFIDENCE = 0.95
"""Confidence of a face from which it is used: 19 of 20 free faces have 0.98 and more, half of those
behind a hand less."""

OUTLINE_SIDE = 320
"""Side of the square around head and shoulders in which the outline is extracted, pixels. The
network works at 256."""

EXTENT = (1.3, 1.0, 1.3, 1.5)
"""Extent of that square to the left, top, right and bottom of the middle of the face, in heights of
the face."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What is known of a person; without a shape, the head is a mean one."""

    shape: Float32[Array, " S"] | None = None
    offsets: Float32[Array, "K L 3"] | None = None
    """Displacements of the landmarks, see `head_fit.calibrate`."""


class Collector(Protocol):
    """Keeps what an estimate needs of the faces of one person."""

    def add(self, image: Image, landmarks: Landmarks) -> None:
        """Keep a face."""
        ...

    def estimate(self) -> Subject:
        """Return what the faces tell; runs in a thread of its own."""
        ...


@dataclass(frozen=True)
class EstimateStage:
    """One estimate: of how many faces it is made, and how."""

    name: str
    """What the face is afterwards, for the user."""
    faces: int
    interval: float
    """Least seconds between two faces."""
    collector: Callable[[tuple[int, int]], Collector]
    """Makes the collector for images of (width, height)."""


class SubjectEstimate:
    """A stage in progress: collects faces, then estimates in a thread of its own."""

    def __init__(self, stage: EstimateStage, size: tuple[int, int]) -> None:
        self.stage = stage
        self._collector = stage.collector(size)
        self._count = 0
        self._newest = -np.inf
        self._thread: threading.Thread | None = None
        self._result: Subject | None = None
        self._error: Exception | None = None

    @property
    def progress(self) -> str:
        """How far it is, for the user."""
        return "being calculated" if self._thread else f"{self._count} of {self.stage.faces} faces"

    def add(self, image: Image, landmarks: Landmarks, time: float) -> None:
        """Add a face of high confidence."""
        # A tenth of tolerance: the times of a camera's images are not exact.
        if self._thread is None and time - self._newest >= 0.9 * self.stage.interval:
            self._collector.add(image, landmarks)
            self._count += 1
            self._newest = time
            if self._count == self.stage.faces:
                self._thread = threading.Thread(
                    target=self._run, name="imavatar-subject", daemon=True
                )
                self._thread.start()

    def subject(self) -> Subject | None:
        """Return what the faces tell; None before it is ready.

        Raises:
            Exception: the error that ended the estimate.
        """
        if self._error:
            raise self._error
        return self._result

    def wait(self, seconds: float) -> None:
        """Wait for the end of an estimate that has begun, for so many seconds at most."""
        if self._thread:
            self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._result = self._collector.estimate()
        except Exception as error:  # raised again by `subject`
            self._error = error


class LandmarkCollector:
    """Landmarks of faces; the first stage."""

    def __init__(self, estimate: Callable[[Any], Float32[Array, " S"]]) -> None:
        """Create an empty collection.

        Args:
            estimate: returns the shape for landmarks `[T, 478, 3]`.
        """
        self._estimate = estimate
        self._landmarks: list[Landmarks] = []

    def add(self, image: Image, landmarks: Landmarks) -> None:
        """Keep the landmarks."""
        self._landmarks.append(landmarks)

    def estimate(self) -> Subject:
        """Return the shape."""
        return Subject(self._estimate(np.stack(self._landmarks)))


class OutlinedCollector:
    """Landmarks of faces and outlines of the person; the calibration."""

    def __init__(
        self,
        mask_of: Callable[[Image], Float32[Array, "H W"]],
        estimate: Callable[[Any, Silhouettes], Subject],
    ) -> None:
        """Create an empty collection.

        Args:
            mask_of: returns the mask of the person in an image.
            estimate: returns the subject for landmarks `[T, 478, 3]` and outlines.
        """
        self._mask_of = mask_of
        self._estimate = estimate
        self._landmarks: list[Landmarks] = []
        self._cuts: list[HeadCut] = []
        self._outlines = OutlineCollector()

    def add(self, image: Image, landmarks: Landmarks) -> None:
        """Keep the landmarks, and extract the outline of head and shoulders."""
        cut = HeadCut.around(landmarks, image.shape[1], image.shape[0])
        self._outlines.add(self._mask_of(cut.apply(image)), cut.points(landmarks[:, :2]))
        self._landmarks.append(landmarks)
        self._cuts.append(cut)

    def silhouettes(self) -> Silhouettes:
        """Return the outlines in pixels of the images."""
        outlines = self._outlines.finish()
        pairs = zip(self._cuts, outlines.contours, strict=True)
        return replace(outlines, contours=tuple(cut.points_back(points) for cut, points in pairs))

    def estimate(self) -> Subject:
        """Return the shape, and where the landmarks lie."""
        return self._estimate(np.stack(self._landmarks), self.silhouettes())


@dataclass(frozen=True)
class HeadCut:
    """The part of an image that shows head and shoulders, reduced to `OUTLINE_SIDE` at most.

    Pixel centres are at integers, in the image and in the part.
    """

    left: int
    top: int
    width: int
    height: int
    scale: float
    """Pixels of the part in one pixel of the image."""

    @classmethod
    def around(cls, landmarks: Landmarks, width: int, height: int) -> HeadCut:
        """Return the part around a face that is inside an image of this size."""
        points = landmarks[:468, :2]
        size = max(face_size(points))
        column, row = (points.min(axis=0) + points.max(axis=0)) / 2
        left = int(np.clip(column - EXTENT[0] * size, 0, width - 1))
        top = int(np.clip(row - EXTENT[1] * size, 0, height - 1))
        right = int(np.clip(column + EXTENT[2] * size, left + 1, width))
        bottom = int(np.clip(row + EXTENT[3] * size, top + 1, height))
        scale = min(1.0, OUTLINE_SIDE / max(right - left, bottom - top))
        return cls(left, top, right - left, bottom - top, scale)

    def apply(self, image: Image) -> Image:
        """Cut and reduce an image."""
        part = image[self.top : self.top + self.height, self.left : self.left + self.width]
        size = (max(1, round(self.width * self.scale)), max(1, round(self.height * self.scale)))
        return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA))

    def points(self, points: Float32[Array, "N 2"]) -> Float32[Array, "N 2"]:
        """Move points of the image to the part."""
        corner = np.array([self.left, self.top])
        return np.asarray((points - corner + 0.5) * self.scale - 0.5, dtype=np.float32)

    def points_back(self, points: Float32[Array, "N 2"]) -> Float32[Array, "N 2"]:
        """Move points of the part to the image."""
        corner = np.array([self.left, self.top])
        return np.asarray((points + 0.5) / self.scale - 0.5 + corner, dtype=np.float32)
