"""One face followed through a video, and every face of an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.errors import UsageError

from .blendshape_network import BlendshapeNetwork
from .detector import FaceDetection, FaceDetector, tile_sides
from .images import checked_image
from .irises import refine_irises
from .landmark_network import LandmarkNetwork
from .region import FaceRegion

MIN_CONFIDENCE = 0.5
"""Below this probability of the landmark network, a face that was followed is lost."""
MIN_FIRST_CONFIDENCE = 0.8
"""The same for a face that a search finds. True faces, small ones too, come to 0.9 and more; the
lettering and the cats that the detector takes for faces seldom do."""
MAX_DISAGREEMENT = 0.18
"""Mean distance, in widths of the detector's box, of its eyes, nose and mouth from the landmarks.
At true faces the two networks agree to 0.15, at most others they do not."""
KEYPOINT_LANDMARKS = ((468,), (473,), (1,), (13, 14))
"""The landmarks at the detector's first four keypoints: right and left eye, nose, mouth."""
PERTURBATIONS = ((0.0, 0.0), (0.04, 0.03), (-0.04, -0.03), (0.02, -0.06))
"""Change of side (relative) and of angle (radians) of the crops that `average` reads."""
SAME_FACE = 0.35
"""Two regions are one face when their centres are nearer than this share of the smaller side."""


@dataclass(frozen=True, eq=False)
class TrackedFace:
    """The landmarks of a face in one image.

    Attributes:
        landmarks: column, row and depth in pixels of the image, in MediaPipe's order. Depth is
            relative to the face and smaller towards the camera.
        confidence: probability that the region shows a face, of the landmark network, 0..1.
        region: the square from which they were read.
        blendshapes: coefficients in the order of `retarget.ARKIT_NAMES`, or None where the tracker
            was opened without them.
    """

    landmarks: Float32[Array, "478 3"]
    confidence: float
    region: FaceRegion
    blendshapes: Float32[Array, "52"] | None = None


class FaceTracker:
    """Finds a face in an image and follows it through the images after it.

    Args:
        threads: of ONNX Runtime, for each network.
        blendshapes: compute the coefficients of ARKit's shapes, too.
        tile_search: search tiles of the image where no face is found in it as a whole. It finds
            faces down to a fiftieth of the image's width, and costs a tenth of a second on one
            core in an image of 1920 x 1080.
        average: number of slightly different crops, 1 to 4, whose landmarks are averaged: less
            jitter for that many times the work.
        irises: locate the irises in the image, see `refine_irises`. It costs two milliseconds.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
        UsageError: `average` is out of range.

    Example:
        >>> with FaceTracker() as tracker:
        ...     faces = [tracker.track(image) for image in images]  # None where there is none
    """

    def __init__(
        self,
        threads: int = 1,
        blendshapes: bool = False,
        tile_search: bool = True,
        average: int = 1,
        irises: bool = False,
    ) -> None:
        if not 1 <= average <= len(PERTURBATIONS):
            raise UsageError(f"average must be 1 to {len(PERTURBATIONS)}, got {average}")
        self._detector = FaceDetector(threads)
        self._landmarks = LandmarkNetwork(threads)
        self._blendshapes = BlendshapeNetwork(threads) if blendshapes else None
        self._tile_search = tile_search
        self._perturbations = PERTURBATIONS[:average]
        self._irises = irises
        self._region: FaceRegion | None = None
        self._failures = 0  # searches in vain since a face was seen

    def __enter__(self) -> FaceTracker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the face, so that the next image is searched."""
        self._region = None
        self._failures = 0

    def follow(self, landmarks: Float32[Array, "478 3"]) -> None:
        """Follow the face with these landmarks, as if the image before had shown it.

        Tracking that was interrupted continues so with the same results.
        """
        self._region = FaceRegion.of_landmarks(landmarks)

    def track(self, image: Any) -> TrackedFace | None:
        """Return the face of the next image of a video, or None where none is found.

        The face is looked for near its place in the image before. Where that fails, and in the
        first image, the whole image is searched: first as a whole, then in ever smaller tiles,
        and the largest face of the first that show one is taken. After a search in vain, every
        image is searched in tiles of one size, a different one each time.

        Args:
            image: RGB, uint8 `[H, W, 3]`.

        Raises:
            InputError: `image` is something else.
        """
        image = checked_image(image)
        face = None if self._region is None else self._read(image, self._region)
        if face is None:
            first = next(filter(None, self._search(image, self._tile_sides(image))), [])
            face = max(first, key=lambda face: face.region.side, default=None)
            self._failures = 0 if face else self._failures + 1
        self._region = None if face is None else FaceRegion.of_landmarks(face.landmarks)
        return None if face is None else self._completed(image, face)

    def find_all(self, image: Any) -> list[TrackedFace]:
        """Return every face of an image, the largest first.

        It neither uses nor changes which face `track` follows.

        Args:
            image: RGB, uint8 `[H, W, 3]`.

        Raises:
            InputError: `image` is something else.
        """
        faces: list[TrackedFace] = []
        image = checked_image(image)
        sides = tile_sides(*image.shape[:2]) if self._tile_search else []
        for level in self._search(image, sides):
            for face in level:
                if not any(_same(face.region, other.region) for other in faces):
                    faces.append(face)
        faces.sort(key=lambda face: -face.region.side)
        return [self._completed(image, face) for face in faces]

    def _tile_sides(self, image: UInt8[Array, "H W 3"]) -> list[int]:
        """Return the sides of the tiles to search now: all, or one in turn after a failure."""
        sides = tile_sides(*image.shape[:2]) if self._tile_search else []
        if not self._failures or not sides:
            return sides
        return [sides[self._failures % len(sides)]]

    def _search(
        self, image: UInt8[Array, "H W 3"], sides: Iterable[int]
    ) -> Iterator[list[TrackedFace]]:
        """Yield the faces that the image as a whole shows, then those of its tiles by size."""
        yield self._confirm(image, self._detector.detect(image))
        for side in sides:
            yield self._confirm(image, self._detector.detect_in_tiles(image, side))

    def _confirm(
        self, image: UInt8[Array, "H W 3"], detections: list[FaceDetection]
    ) -> list[TrackedFace]:
        """Return the detections that the landmark network confirms, with their landmarks."""
        faces = []
        for detection in detections:
            rough, confidence = self._landmarks.read(image, detection.region())
            if confidence < MIN_CONFIDENCE:
                continue
            # Once more in the region in which the next image is read: the same crop every time.
            face = self._read(image, FaceRegion.of_landmarks(rough))
            if (
                face is not None
                and face.confidence >= MIN_FIRST_CONFIDENCE
                and _disagreement(detection, face.landmarks) <= MAX_DISAGREEMENT
            ):
                faces.append(face)
        return faces

    def _read(self, image: UInt8[Array, "H W 3"], region: FaceRegion) -> TrackedFace | None:
        """Return the face of a region, or None where the network sees none there."""
        reads = []
        for scale, turn in self._perturbations:
            varied = replace(region, side=region.side * (1 + scale), angle=region.angle + turn)
            reads.append(self._landmarks.read(image, varied))
            if reads[0][1] < MIN_CONFIDENCE:
                return None
        landmarks = np.stack([points for points, _ in reads]).mean(axis=0)
        return TrackedFace(landmarks, reads[0][1], region)

    def _completed(self, image: UInt8[Array, "H W 3"], face: TrackedFace) -> TrackedFace:
        """Return a face with the blendshapes and the irises that the tracker was opened for."""
        if self._blendshapes is not None:  # of the landmarks as the network reads them
            face = replace(face, blendshapes=self._blendshapes.coefficients(face.landmarks))
        if self._irises:
            face = replace(face, landmarks=refine_irises(image, face.landmarks))
        return face


def _disagreement(detection: FaceDetection, landmarks: Float32[Array, "478 3"]) -> float:
    """Return how far the detector's keypoints are from the landmarks, in widths of its box."""
    places = np.stack([landmarks[list(points), :2].mean(axis=0) for points in KEYPOINT_LANDMARKS])
    distances = np.linalg.norm(detection.keypoints[: len(places)] - places, axis=1)
    return float(distances.mean() / (detection.box[2] - detection.box[0]))


def _same(one: FaceRegion, other: FaceRegion) -> bool:
    distance = float(np.linalg.norm(one.centre - other.centre))
    return distance < SAME_FACE * min(one.side, other.side)
