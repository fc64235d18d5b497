"""Detection of faces: MediaPipe's short-range BlazeFace, and its search in tiles of large images.

The network sees 128 x 128 pixels, where a face must be about 15 pixels wide. A small face in a
large image is found by searching overlapping tiles of the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float, Float32, UInt8

from .graphs import VisionGraph
from .images import checked_image, fit_into
from .region import MARGIN, FaceRegion

INPUT_SIZE = 128
MIN_SCORE = 0.5
MIN_OVERLAP = 0.3
"""Boxes whose intersection over union is larger are one face (MediaPipe's default)."""
SCORE_LIMIT = 100.0
"""Logits are clipped to it (face_detector_graph.cc)."""
STRIDES = ((8, 2), (16, 6))
"""Pixels between anchors, and anchors at each place: one layer of stride 8 and three of 16."""
SMALLEST_TILE = 192
"""Side in pixels of the smallest tiles: below, a face has too few pixels for its landmarks."""
MOST_TILES = 8
"""Sides of the smallest tiles in the longer side of an image. More would find faces below a
fiftieth of the image, which show no expression, and cost a second in an image of 3840 x 2160."""
TILE_STEP = 2 / 3
"""Distance of tiles in sides of a tile. A third overlaps, so that a face of that size is whole in
one of them; a larger one is found in the next larger tiles."""

ALMOST_SQUARE = 1.25
"""Largest ratio of the sides of an image of which no tile as large as its shorter side is made."""


@dataclass(frozen=True, eq=False)
class FaceDetection:
    """A face that the detector found.

    Attributes:
        box: left, top, right, bottom in pixels of the image.
        keypoints: column and row of the right eye, the left eye, the tip of the nose, the mouth,
            the right and the left ear.
        score: 0..1.
    """

    box: Float[Array, "4"]
    keypoints: Float[Array, "6 2"]
    score: float

    def region(self) -> FaceRegion:
        """Return the square in which to look for landmarks: 1.5 times the box, along the eyes."""
        right, left = self.keypoints[:2]
        angle = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
        side = MARGIN * float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))
        return FaceRegion((self.box[:2] + self.box[2:]) / 2, side, angle)


class FaceDetector:
    """MediaPipe's short-range face detector.

    Args:
        threads: of ONNX Runtime.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
    """

    def __init__(self, threads: int = 1) -> None:
        self._graph = VisionGraph("face_detector", threads=threads)
        self._anchors = anchors()

    def detect(self, image: Any) -> list[FaceDetection]:
        """Return the faces of an image as a whole, best first.

        Faces narrower than an eighth of the image's longer side may be missed.

        Args:
            image: RGB, uint8 `[H, W, 3]`.

        Raises:
            InputError: `image` is something else.
        """
        return merge(self._candidates(checked_image(image), 0, 0))

    def detect_in_tiles(self, image: Any, side: int) -> list[FaceDetection]:
        """Return the faces that overlapping tiles of an image show, best first.

        Args:
            image: RGB, uint8 `[H, W, 3]`.
            side: of the tiles; `tile_sides` lists the useful ones.

        Raises:
            InputError: `image` is something else.
        """
        image = checked_image(image)
        faces = []
        for top in tile_starts(image.shape[0], side):
            for left in tile_starts(image.shape[1], side):
                faces += self._candidates(image[top : top + side, left : left + side], left, top)
        return merge(faces)

    def _candidates(self, image: UInt8[Array, "H W 3"], left: int, top: int) -> list[FaceDetection]:
        """Return what the network reports above the score, in pixels moved by (left, top)."""
        square, scale = fit_into(image, INPUT_SIZE)
        outputs = self._graph.run(square[None].astype(np.float32) / 127.5 - 1)
        logits = outputs["scores"][0, :, 0].astype(np.float64).clip(-SCORE_LIMIT, SCORE_LIMIT)
        scores = 1 / (1 + np.exp(-logits))
        # A box without a width says nothing.
        chosen = np.flatnonzero(
            (scores >= MIN_SCORE) & (outputs["boxes"][0, :, 2:4] > 1).all(axis=1)
        )
        boxes, keypoints = decode(outputs["boxes"][0, chosen], self._anchors[chosen])
        # From the square's edges to pixel centres of the image.
        offset = np.array([left, top]) - 0.5
        boxes, keypoints = boxes * scale + np.tile(offset, 2), keypoints * scale + offset
        parts = zip(boxes, keypoints, scores[chosen], strict=True)
        return [FaceDetection(box, points, float(score)) for box, points, score in parts]


def anchors() -> Float[Array, "896 2"]:
    """Return the centres of the network's anchors in pixels of its input."""
    centres = []
    for stride, count in STRIDES:
        middle = (np.arange(INPUT_SIZE // stride) + 0.5) * stride
        columns, rows = np.meshgrid(middle, middle)
        centres.append(np.stack([columns, rows], axis=-1).reshape(-1, 2).repeat(count, axis=0))
    return np.concatenate(centres)


def decode(
    raw: Float32[Array, "N 16"], centres: Float[Array, "N 2"]
) -> tuple[Float[Array, "N 4"], Float[Array, "N 6 2"]]:
    """Return boxes and keypoints in pixels of the network's input.

    Args:
        raw: centre, width, height and six points of each anchor, relative to it.
        centres: of the anchors.
    """
    middle, half = centres + raw[:, :2], raw[:, 2:4] / 2
    keypoints = centres[:, None] + raw[:, 4:].reshape(-1, 6, 2)
    return np.hstack([middle - half, middle + half]), keypoints


def merge(candidates: list[FaceDetection]) -> list[FaceDetection]:
    """Return one detection for each face, best first: MediaPipe's weighted suppression.

    Box and keypoints are means over the candidates that overlap the best one, weighted by score.
    """
    rest = sorted(candidates, key=lambda face: -face.score)
    faces = []
    while rest:
        boxes = np.stack([face.box for face in rest])
        same = intersection_over_union(boxes[0], boxes) > MIN_OVERLAP
        same[0] = True
        weights = np.array([face.score for face in rest])[same]
        points = np.stack([face.keypoints for face in rest])[same]
        box = np.average(boxes[same], axis=0, weights=weights)
        faces.append(FaceDetection(box, np.average(points, axis=0, weights=weights), rest[0].score))
        rest = [face for face, is_same in zip(rest, same, strict=True) if not is_same]
    return faces


def intersection_over_union(
    box: Float[Array, "4"], boxes: Float[Array, "N 4"]
) -> Float[Array, " N"]:
    """Return the overlap of a box with others."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    intersection = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    overlap: Float[Array, " N"] = intersection / np.maximum(areas - intersection, 1e-9)
    return overlap


def tile_sides(height: int, width: int) -> list[int]:
    """Return the sides of the tiles in which to search an image, the largest first.

    The first is the image's shorter side, or half of it where the image is almost square: a tile of
    the whole side would show little else than the image as a whole.
    """
    sides, side = [], min(height, width)
    if max(height, width) < ALMOST_SQUARE * side:
        side //= 2
    while side >= max(SMALLEST_TILE, max(height, width) / MOST_TILES):
        sides.append(side)
        side //= 2
    return sides


def tile_starts(length: int, side: int) -> list[int]:
    """Return where tiles start along an axis: evenly, from edge to edge."""
    count = 1 + max(0, int(np.ceil((length - side) / (side * TILE_STEP))))
    return [round(start) for start in np.linspace(0, max(0, length - side), count)]
