"""Draws landmarks and the fitted head over the pictures of a track, as images and as a video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float, Float32, Int32, UInt8
from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.dataset.images import decode
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_fit.correspondences import LANDMARKS, LandmarkPoints, landmark_points
from imavatar_deploy.head_fit.landmark_groups import (
    LEFT_BROW,
    LEFT_EYE,
    LEFT_IRIS,
    LIPS_INNER,
    LIPS_OUTER,
    RIGHT_BROW,
    RIGHT_EYE,
    RIGHT_IRIS,
)
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.video_file import open_video

from .advice import REFERENCE_SIZE
from .moments import clock
from .result import TrackResult

Picture = UInt8[Array, "H W 3"]
"""RGB picture."""

FEATURES = (LIPS_OUTER, LIPS_INNER, LEFT_EYE, RIGHT_EYE, LEFT_BROW, RIGHT_BROW)
"""Closed lines of the fitted head that are drawn."""

EYES = (
    (LEFT_IRIS[1:], (386, 374), (263, 362)),
    (RIGHT_IRIS[1:], (159, 145), (33, 133)),
)
"""Iris, middles of the lids, and corners of each eye."""

CLOSED_EYE = 0.12
"""Opening of an eye, in widths of it, below which its iris is hidden and not drawn."""

SHIFT = 4
"""Bits of a fraction of a pixel in the coordinates that OpenCV draws."""

MODEL_COLOUR = (64, 220, 255)
WIRE_COLOUR = (120, 200, 230)
"""Colours of the fitted head: its features and outline, its mesh."""

GOOD_COLOUR = (70, 230, 90)
POOR_COLOUR = (255, 70, 50)
"""Colours of landmarks that the head meets, and of those POOR_POINT pixels off."""

POOR_POINT = 6.0
"""Error of a landmark, pixels of a picture of REFERENCE_SIZE, at which it has POOR_COLOUR."""

RIM = 8
"""Pixels around a picture on which its outlines are computed."""

WIRE_STRENGTH = 0.22
"""Opacity of the mesh: the skin below has to stay visible."""


@dataclass(frozen=True, eq=False)
class FittedHead:
    """A fitted head in the picture of one frame."""

    points: Float32[Array, "V 2"]
    """Column and row of every vertex, pixels."""
    front: Int32[Array, "F 3"]
    """Faces of the skin that are seen from the front."""
    landmarks: Float32[Array, "L 2"] | None
    """Landmarks of the fitted head; None where the head model's are unknown."""

    def moved(self, offset: Float[Array, "2"], scale: float) -> FittedHead:
        """Return the head in a part of the picture that begins at `offset`, enlarged by `scale`."""
        landmarks = self.landmarks
        return FittedHead(
            moved_points(self.points, offset, scale),
            self.front,
            None if landmarks is None else moved_points(landmarks, offset, scale),
        )

    def outline(self, size: int) -> list[Int32[Array, "_ 1 2"]]:
        """Return the outline of the head in a picture of a size, as contours for OpenCV."""
        # With a rim, so that the border of the picture is not taken for an outline.
        mask = np.zeros((size + 2 * RIM, size + 2 * RIM), dtype=np.uint8)
        triangles = np.round(self.points[self.front]).astype(np.int32)
        # The corners may lie far outside where a wrong fit comes close to the camera.
        for triangle in np.clip(triangles, -size, 2 * size) + RIM:
            cv2.fillConvexPoly(mask, triangle, 255)
        contours, _ = cv2.findContours(
            mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(-RIM, -RIM)
        )
        return [contour.astype(np.int32) for contour in contours]


class HeadProjector:
    """Projects the fitted heads of a track into its pictures.

    Args:
        result: the track.
        head: head model of the track, without the subject's shape.
    """

    def __init__(self, result: TrackResult, head: HeadModel) -> None:
        self._result = result
        self._head = head.for_subject(result.fit.shape)
        self._points = _landmarks_of(head)
        self._skin = head.faces[_is_skin(head)[head.faces].all(axis=1)]

    def project(self, index: int) -> FittedHead:
        """Return the head in the picture of frame `index`."""
        fit = self._result.fit
        camera = Camera(
            np.column_stack([np.eye(3), fit.translation[index]]).astype(np.float32),
            self._result.intrinsics,
        )
        expression = np.asarray(fit.expression[index], dtype=np.float32)
        pose = np.asarray(fit.pose[index], dtype=np.float32)
        vertices = UNITS_PER_METRE * self._head.vertices(expression, pose)
        matrix = camera.image_matrix(self._result.size, self._result.size)
        points = _project(vertices, matrix)
        a, b, c = (points[self._skin[:, corner]] for corner in range(3))
        # Rows run down, so that the corners of a visible face run clockwise: a negative area.
        area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
        landmarks = None
        if self._points is not None:
            places = self._points.positions(vertices, self._head.faces)
            landmarks = _project(places.astype(np.float32), matrix)
        return FittedHead(points, np.asarray(self._skin[area < 0], dtype=np.int32), landmarks)


def _project(points: Float32[Array, "N 3"], matrix: Float32[Array, "3 4"]) -> Float32[Array, "N 2"]:
    column, row, depth = matrix[:, :3] @ points.T + matrix[:, 3:]
    depth = np.maximum(depth, 1e-3)  # nothing of a head is behind the camera unless the fit failed
    return np.column_stack([column / depth, row / depth]).astype(np.float32)


def _is_skin(head: HeadModel) -> Bool[Array, " V"]:
    """Vertices of the skin: without eyeballs, teeth and tongue, where the model names its parts."""
    if "body" not in head.vertex_groups:
        return np.ones(len(head.template), dtype=bool)
    return np.array([group == "body" for group in head.vertex_groups])


def _landmarks_of(head: HeadModel) -> LandmarkPoints | None:
    try:
        return landmark_points(head)
    except InputError:  # the landmarks of this edition are unknown
        return None


def moved_points(
    points: Float[Array, "N 2"], offset: Float[Array, "2"], scale: float
) -> Float32[Array, "N 2"]:
    """Map points of a picture into a part of it; pixel centres are at integers in both."""
    return np.asarray((points - offset + 0.5) * scale - 0.5, dtype=np.float32)


# Drawing


def draw_overlay(
    picture: Picture,
    head: FittedHead | None,
    landmarks: Float[Array, "L _"],
    errors: Float[Array, " L"] | None,
    *,
    wire: bool,
) -> Picture:
    """Return the picture with the landmarks and the fitted head drawn over it.

    Args:
        picture: to draw on; it is not changed.
        head: the fitted head, or None to draw the landmarks alone.
        landmarks: columns and rows.
        errors: distances of the landmarks from those of the head, pixels of a picture of
            REFERENCE_SIZE; they set the colours.
        wire: whether the mesh of the head is drawn.
    """
    canvas = np.ascontiguousarray(picture)
    size = len(canvas)
    thick = max(1, round(size / 400))
    if head is not None and wire:
        mesh = canvas.copy()
        cv2.polylines(
            mesh, list(_fixed(head.points[head.front])), True, WIRE_COLOUR, 1, cv2.LINE_AA, SHIFT
        )
        canvas = cv2.addWeighted(mesh, WIRE_STRENGTH, canvas, 1.0 - WIRE_STRENGTH, 0.0)
    else:
        canvas = canvas.copy()
    if head is not None:
        cv2.drawContours(canvas, head.outline(size), -1, MODEL_COLOUR, thick, cv2.LINE_AA)
        if head.landmarks is not None and len(head.landmarks) == LANDMARKS:
            features = (*FEATURES, *_open_irises(head.landmarks))
            lines = [_fixed(head.landmarks[list(feature)]) for feature in features]
            cv2.polylines(canvas, lines, True, MODEL_COLOUR, thick, cv2.LINE_AA, SHIFT)
    known = np.isfinite(landmarks).all(axis=1)
    shares = np.zeros(len(landmarks)) if errors is None else np.nan_to_num(errors) / POOR_POINT
    for share, point in zip(
        shares[known].clip(0.0, 1.0).tolist(), _fixed(landmarks[known, :2]), strict=True
    ):
        colour = tuple(
            round(good + share * (poor - good))
            for good, poor in zip(GOOD_COLOUR, POOR_COLOUR, strict=True)
        )
        radius = max(1, round(size / 500)) << SHIFT
        cv2.circle(canvas, point.tolist(), radius, colour, -1, cv2.LINE_AA, SHIFT)
    return np.asarray(canvas, dtype=np.uint8)


def _open_irises(landmarks: Float32[Array, "L 2"]) -> list[tuple[int, ...]]:
    """Landmarks around the irises of the eyes that are open."""

    def apart(pair: tuple[int, int]) -> float:
        return float(np.linalg.norm(landmarks[pair[0]] - landmarks[pair[1]]))

    return [
        tuple(iris) for iris, lids, corners in EYES if apart(lids) > CLOSED_EYE * apart(corners)
    ]


def _fixed(points: Float[Array, "*N 2"]) -> Int32[Array, "*N 2"]:
    """Coordinates in OpenCV's fixed point; far points are moved to where they do not overflow."""
    return np.round(np.clip(points, -8192, 8192) * (1 << SHIFT)).astype(np.int32)


def point_errors(result: TrackResult, index: int) -> Float[Array, " L"] | None:
    """Return the errors of the landmarks of a frame, pixels of a picture of REFERENCE_SIZE.

    None where the fit used other landmarks than those of the track.
    """
    errors = result.fit.point_errors[index]
    if len(errors) != result.landmarks.shape[1]:
        return None
    return np.asarray(errors * (REFERENCE_SIZE / result.size))


# Video


def write_overlay(
    result: TrackResult,
    path: str | Path,
    *,
    head: HeadModel | None = None,
    progress: Progress = silent,
) -> None:
    """Write a video of the pictures with their landmarks and the outline of the fitted head.

    It has the frames of the dataset at the track's rate; the time in the source is in the corner.

    Args:
        result: the track.
        path: the `.mp4` to write.
        head: head model of the track; the bundled one by default. Without a head model of the
            track's edition, only landmarks are drawn.
        progress: shows the progress.

    Raises:
        InputError: a picture cannot be read.
        UsageError: the video cannot be written.
    """
    projector = head_projector(result, head)
    side = result.size - result.size % 2
    with (
        open_video(path, side, side, result.fps) as add_image,
        progress("drawing the overlay video", len(result)) as advance,
    ):
        for image in _images(result, projector):
            add_image(np.ascontiguousarray(image[:side, :side]))
            advance(1)


def head_projector(result: TrackResult, head: HeadModel | None) -> HeadProjector | None:
    """Return the projector of a track, or None where its head model is not at hand.

    Args:
        result: the track.
        head: head model of the track's edition; None for the bundled one.
    """
    if head is None:
        head = HeadModel.load("openhead")
    return HeadProjector(result, head) if head.edition == result.edition else None


def _images(result: TrackResult, projector: HeadProjector | None) -> Iterator[Picture]:
    for index in range(len(result)):
        image = draw_overlay(
            decode(result.image_path(index), "image"),
            None if projector is None else projector.project(index),
            result.landmarks[index],
            point_errors(result, index),
            wire=False,
        )
        _caption(image, clock(float(result.times[index])))
        yield image


def _caption(image: Picture, text: str) -> None:
    """Write a text into the upper left corner, light on a dark ground."""
    scale = max(0.35, len(image) / 700)
    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, height), _ = cv2.getTextSize(text, font, scale, 1)
    margin = round(8 * scale)
    cv2.rectangle(image, (0, 0), (width + 2 * margin, height + 2 * margin), (30, 30, 30), -1)
    cv2.putText(
        image, text, (margin, margin + height), font, scale, (255, 255, 255), 1, cv2.LINE_AA
    )
