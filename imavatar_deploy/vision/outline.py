"""Extracts the outline of a person from masks: points with normals, labelled by part."""

from __future__ import annotations

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Float, Float32, Float64, Int32
from imavatar_deploy.head_fit.evidence import HEAD, NECK, SHOULDERS, Silhouettes

CHIN = 152
FOREHEAD = 10
SIDES = (234, 454)
"""Landmarks of MediaPipe's face mesh: chin, top of the face, and its right and left border."""

MAX_POINTS = 200
"""Largest number of points of one frame."""

SMOOTHING = 1.0
"""Standard deviation of the blur that turns a hard mask into a soft one, pixels."""

BORDER = 3
"""Points nearer than this to the picture's border, in pixels, are left out."""

SEARCH = 2.5
"""Pixels along the normal, to both sides, in which the outline is refined."""

JAWS = (172, 397)
"""Landmarks of MediaPipe's face mesh at the right and the left angle of the jaw."""

SHARP = 0.2
"""Change of the mask per pixel from which an outline counts fully."""

MAX_CHANGE = 0.5
"""Largest share by which the number of the mask's pixels may differ from the median of a video."""

HEAD_WIDTH = 1.15
"""Outline points below the jaw and within this many half widths of the face may be the neck."""

HIDDEN_NECK = 0.55
"""Half width of the narrowest row below the jaw, face widths, from which hair hides the neck."""


class OutlineCollector:
    """Collects the outline of the person, one picture at a time.

    Example:
        >>> collector = OutlineCollector()
        >>> for image, mask, landmarks in frames:
        ...     collector.add(mask, landmarks)
        >>> silhouettes = collector.finish()
    """

    def __init__(self, max_points: int = MAX_POINTS) -> None:
        self._max_points = max_points
        self._contours: list[Float32[Array, "K 2"]] = []
        self._normals: list[Float32[Array, "K 2"]] = []
        self._labels: list[Int32[Array, " K"]] = []
        self._weights: list[float] = []
        self._areas: list[int] = []

    def add(self, mask: Float32[Array, "H W"], landmarks: Float[Array, "L _"] | None) -> None:
        """Add the mask of the next picture.

        Args:
            mask: share of the person in every pixel, 0..1.
            landmarks: the 478 landmarks of the face, column and row first; None where no face is
                visible. The frame then has no outline.
        """
        empty = np.zeros((0, 2), dtype=np.float32)
        points, normals, sharpness = empty, empty, 0.0
        labels = np.zeros(0, dtype=np.int32)
        if landmarks is not None:
            face = np.asarray(landmarks)[:468, :2].astype(np.float32)
            person = _person(mask, face)
            points, normals, sharpness = outline(person, self._max_points)
            labels = label_points(points, person, face)
        self._contours.append(points)
        self._normals.append(normals)
        self._labels.append(labels)
        self._weights.append(min(1.0, sharpness / SHARP))
        self._areas.append(int(np.count_nonzero(mask > 0.5)) if len(points) else 0)

    def finish(self) -> Silhouettes:
        """Return the outlines of every picture added.

        The weight of a frame is small where its mask is blurred, and zero where the size of the
        mask differs much from that of the other frames.
        """
        areas = np.array(self._areas, dtype=np.float64)
        usual = float(np.median(areas[areas > 0])) if (areas > 0).any() else 1.0
        plausible = np.abs(areas - usual) <= MAX_CHANGE * usual
        weight = np.array(self._weights, dtype=np.float32) * plausible.astype(np.float32)
        return Silhouettes(tuple(self._contours), tuple(self._normals), tuple(self._labels), weight)


def outline(
    mask: Float32[Array, "H W"], max_points: int = MAX_POINTS
) -> tuple[Float32[Array, "K 2"], Float32[Array, "K 2"], float]:
    """Return points of the outline, their outward normals and the sharpness of the mask.

    Points lie where the blurred mask is one half, at equal distances along the outline, and away
    from the picture's border. The sharpness is the median change of the mask per pixel.
    """
    soft = cv2.GaussianBlur(mask, (0, 0), SMOOTHING)
    contours, _ = cv2.findContours(
        (soft > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    if not contours:
        return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32), 0.0
    longest = max(contours, key=len)[:, 0].astype(np.float64)
    step = max(len(longest) / max_points, 1.0)
    points = longest[np.arange(0, len(longest), step).astype(np.int64)[:max_points]]
    column = cv2.GaussianBlur(cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=0.125), (0, 0), 1.5)
    row = cv2.GaussianBlur(cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=0.125), (0, 0), 1.5)
    normals = -np.stack([_sample(column, points), _sample(row, points)], axis=1)
    steepness = np.linalg.norm(normals, axis=1)
    height, width = mask.shape
    free = (
        (steepness > 1e-3)
        & (points.min(axis=1) >= BORDER)
        & (points[:, 0] <= width - 1 - BORDER)
        & (points[:, 1] <= height - 1 - BORDER)
    )
    if not free.any():
        return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32), 0.0
    points = points[free]
    normals = normals[free] / steepness[free, None]
    points = _refined(soft, points, normals)
    change = _sample(mask, points - 1.5 * normals) - _sample(mask, points + 1.5 * normals)
    sharpness = float(np.median(change)) / 3.0
    return points.astype(np.float32), normals.astype(np.float32), max(sharpness, 0.0)


def label_points(
    points: Float32[Array, "K 2"], mask: Float32[Array, "H W"], face: Float32[Array, "L 2"]
) -> Int32[Array, " K"]:
    """Label the points of an outline: head and hair, neck, or shoulders and below.

    The narrowest row of the mask below the jaw is the neck. Above it, wider parts are hair; below
    it, the shoulders begin where the mask widens.

    Args:
        mask: the person, 0..1.
        face: landmarks, column and row.
    """
    labels = np.full(len(points), HEAD, dtype=np.int32)
    height, width = face_size(face)
    jaw = float(face[[*JAWS], 1].mean())
    chin = float(face[:, 1].max())
    middle, neck, half = _narrowest(mask, face, jaw, chin + 0.5 * height)
    rows = points[:, 1]
    if half > HIDDEN_NECK * width:
        # Hair hides the neck, and the outline does not tell it from the shoulders.
        labels[rows > chin] = SHOULDERS
        return labels
    reach = max(1.25 * half, 0.35 * width)
    near = np.abs(points[:, 0] - middle) <= reach
    inside_face = np.abs(points[:, 0] - face[[*SIDES], 0].mean()) <= HEAD_WIDTH * width / 2.0
    labels[(rows > jaw) & (rows <= neck) & near & inside_face] = NECK
    labels[(rows > neck) & near] = NECK
    labels[(rows > neck) & ~near] = SHOULDERS
    return labels


def face_size(face: Float32[Array, "L 2"]) -> tuple[float, float]:
    """Return height and width of a face, pixels; the width does not shrink when it turns."""
    height = max(float(np.linalg.norm(face[CHIN] - face[FOREHEAD])), 1.0)
    return height, max(float(np.linalg.norm(face[SIDES[0]] - face[SIDES[1]])), 0.75 * height)


def _narrowest(
    mask: Float32[Array, "H W"], face: Float32[Array, "L 2"], first: float, last: float
) -> tuple[float, float, float]:
    """Return middle, row and half width of the narrowest row of a mask between two rows."""
    middle = float(face[[*SIDES], 0].mean())
    best = (middle, last, float(np.ptp(face[:, 0])) / 2.0)
    narrowest = np.inf
    for y in range(max(int(first), 0), min(int(last) + 1, len(mask))):
        columns = np.flatnonzero(mask[y] > 0.5)
        if len(columns) and columns[-1] - columns[0] < narrowest:
            narrowest = columns[-1] - columns[0]
            best = ((columns[0] + columns[-1]) / 2.0, float(y), narrowest / 2.0)
    return best


def _person(mask: Float32[Array, "H W"], face: Float32[Array, "L 2"]) -> Float32[Array, "H W"]:
    """Return the part of a mask that is connected with the face, without holes."""
    count, parts, _, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
    if count < 3:
        return mask
    rows = np.clip(np.round(face[:, 1]).astype(int), 0, mask.shape[0] - 1)
    columns = np.clip(np.round(face[:, 0]).astype(int), 0, mask.shape[1] - 1)
    votes = np.bincount(parts[rows, columns], minlength=count)
    votes[0] = 0
    own = (parts == votes.argmax()).astype(np.uint8)
    return np.where(cv2.dilate(own, np.ones((7, 7), np.uint8)) > 0, mask, np.float32(0.0))


def _refined(
    soft: Float32[Array, "H W"], points: Float64[Array, "K 2"], normals: Float64[Array, "K 2"]
) -> Float64[Array, "K 2"]:
    """Move points along their normals to where the mask is one half."""
    offsets = np.linspace(-SEARCH, SEARCH, 11)
    samples = np.stack([_sample(soft, points + offset * normals) for offset in offsets], axis=1)
    falls = (samples[:, :-1] >= 0.5) & (samples[:, 1:] < 0.5)
    distance = np.where(falls, np.abs(np.arange(10) - 4.5), np.inf)
    first = distance.argmin(axis=1)
    index = np.arange(len(points))
    before = samples[index, first]
    after = samples[index, first + 1]
    share = (before - 0.5) / np.maximum(before - after, 1e-6)
    offset = offsets[first] + share * (offsets[1] - offsets[0])
    crossing = np.isfinite(distance[index, first])
    return np.asarray(points + np.where(crossing, offset, 0.0)[:, None] * normals)


def _sample(image: Float32[Array, "H W"], points: Float64[Array, "K 2"]) -> Float64[Array, " K"]:
    """Return an image at points, bilinearly."""
    columns, rows = points.astype(np.float32).T
    values = cv2.remap(
        image,
        np.ascontiguousarray(columns),
        np.ascontiguousarray(rows),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(values.reshape(-1), dtype=np.float64)
