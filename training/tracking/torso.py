"""Measures the motion of the shoulders in the pictures of a video, one picture at a time."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Float, Float32, UInt8
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_fit.evidence import TorsoMotion
from imavatar_deploy.vision.outline import SIDES, face_size

from .alignment import Alignment, Similarity, Template, pyramid

WORKING_SIDE = 512
"""Longer side of the pictures that are aligned; larger ones are reduced."""

BELOW_CHIN = 0.08
"""The region begins this many face heights below the chin."""

NECK = (1.3, 2.0)
"""Distances from the middle of the neck at which pixels begin to count, and count fully.

They are in half widths of the neck. The neck and the collar follow the head in part."""

NECK_SHARE = (0.25, 0.45)
"""Range of half the width of a neck, face widths; hair and shoulders are wider."""

OUTSIDE = 3
"""Pixels by which the region reaches over the outline, so that the outline itself is aligned."""

MAX_KEYFRAMES = 12
"""Largest number of keyframes besides the reference; more are not added."""

KEYFRAME_AGREEMENT = 0.6
"""A picture that agrees less with every keyframe becomes a keyframe itself."""

MIN_AGREEMENT = 0.35
"""Least agreement of an estimate that is used at all."""

LOST_AGREEMENT = 0.45
"""Agreement below which the shoulders are searched again from every keyframe's place."""

MIN_WEIGHT = 0.05
"""An estimate of less weight is no measurement: it does not start the next one."""

MAX_ROTATION = 0.7
"""Largest rotation of the shoulders, radians."""

MAX_MAGNIFICATION = 1.5
"""Largest change of their size."""

GOOD_SPREAD = 0.5
"""Expected error, pixels, at which the weight of a frame is halved."""

MIN_PIXELS = 150
"""Least number of pixels with a gradient in a region that can be aligned."""

BACKGROUND = 0.5
"""Intensity that replaces the background, whose texture stands still while the person moves."""

GAIN = (0.6, 1.7)
"""Range of the factor that undoes a change of the light."""

MASK_SHARE = 0.7
"""Strength of the person mask beside the colours."""


@dataclass(frozen=True)
class _Keyframe:
    template: Template
    motion: Similarity
    """From the reference to this keyframe."""


@dataclass(frozen=True)
class _Measurement:
    motion: Similarity
    weight: float


class TorsoTracker:
    """Measures how the shoulders move in the picture plane, one picture at a time.

    Every picture is aligned to the reference, or to the keyframe that resembles it most, so that
    errors do not add up over time. Memory does not grow with the number of pictures, apart from a
    few numbers for each. A region without texture is aligned by its outline and its folds.

    Example:
        >>> tracker = TorsoTracker()
        >>> for image, mask, landmarks in frames:
        ...     tracker.add(image, mask, landmarks)
        >>> motion = tracker.finish()
    """

    def __init__(self) -> None:
        self._keyframes: list[_Keyframe] = []
        self._measurements: list[_Measurement] = []
        self._reference = 0
        self._latest = Similarity()
        self._previous: UInt8[Array, "H W"] | None = None
        self._previous_region: UInt8[Array, "H W"] | None = None
        self._factor = 1.0
        self._brightness: Float32[Array, "3"] | None = None
        self._gain = np.ones(3, dtype=np.float32)

    def add(
        self,
        image: UInt8[Array, "H W 3"],
        mask: Float32[Array, "H W"],
        landmarks: Float[Array, "L _"] | None,
    ) -> None:
        """Add the next picture.

        Args:
            image: RGB.
            mask: share of the person in every pixel, 0..1.
            landmarks: the 478 landmarks of the face, column and row first; None where no face is
                visible. The region of the shoulders is then not renewed.
        """
        self._factor = min(1.0, WORKING_SIDE / max(image.shape[:2]))
        colours, mask, points = _reduced(image, mask, landmarks, self._factor)
        region = None if points is None else torso_region(mask, points)
        colours = colours * self._exposure(colours, mask, region)
        # The mask without the noise of its interior and of the background.
        person = np.clip((mask - 0.1) / 0.8, 0.0, 1.0)[..., None]
        composed = BACKGROUND + person * (colours - BACKGROUND)
        stacked = np.concatenate([composed, MASK_SHARE * person], axis=2, dtype=np.float32)
        levels = pyramid(np.ascontiguousarray(stacked))
        grey = cv2.cvtColor(np.clip(colours * 255.0, 0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
        if self._keyframes:
            self._measure(levels, grey, region)
        elif region is None or not self._begin(levels, region):
            self._reference = len(self._measurements) + 1
            self._measurements.append(_Measurement(Similarity(), 0.0))
        self._previous = grey
        if region is not None:
            self._previous_region = (region > 0.5).astype(np.uint8)

    def _exposure(
        self,
        colours: Float32[Array, "H W 3"],
        mask: Float32[Array, "H W"],
        region: Float32[Array, "H W"] | None,
    ) -> Float32[Array, "3"]:
        """Return the gain of each channel that restores the brightness of the first picture."""
        if region is not None:
            inside = (region > 0.5) & (mask > 0.9)
            if np.count_nonzero(inside) > MIN_PIXELS:
                brightness = np.median(colours[inside], axis=0) + np.float32(0.02)
                if self._brightness is None:
                    self._brightness = brightness
                low, high = GAIN
                self._gain = np.clip(self._brightness / brightness, low, high).astype(np.float32)
        return self._gain

    def _begin(self, levels: list[Float32[Array, "_ _ C"]], region: Float32[Array, "H W"]) -> bool:
        template = Template(levels, region)
        if template.size < MIN_PIXELS:
            return False
        self._keyframes.append(_Keyframe(template, Similarity()))
        self._measurements.append(_Measurement(Similarity(), 1.0))
        return True

    def _measure(
        self,
        levels: list[Float32[Array, "_ _ C"]],
        grey: UInt8[Array, "H W"],
        region: Float32[Array, "H W"] | None,
    ) -> None:
        """Align a picture to the nearest keyframes and keep the best result."""
        starts = [self._latest]
        step = _sparse_flow(self._previous, grey, self._previous_region)
        if step is not None and self._measurements[-1].weight > 0.0:
            starts.append(step.after(self._latest))
        best = self._best(levels, starts, LOST_AGREEMENT)
        if best.agreement < LOST_AGREEMENT or not _is_plausible(best.motion):
            # The shoulders were lost or have jumped: start from every keyframe's own place.
            best = self._best(levels, [frame.motion for frame in self._keyframes], 1.0)
        sure = min(1.0, best.agreement / KEYFRAME_AGREEMENT) ** 2
        weight = sure / (1.0 + (best.spread / GOOD_SPREAD) ** 2)
        if weight < MIN_WEIGHT or best.agreement < MIN_AGREEMENT or not _is_plausible(best.motion):
            self._measurements.append(_Measurement(self._latest, 0.0))
            return
        self._latest = best.motion
        self._measurements.append(_Measurement(best.motion, float(weight)))
        room = len(self._keyframes) <= MAX_KEYFRAMES
        if best.agreement < KEYFRAME_AGREEMENT and room and region is not None:
            template = Template(levels, region)
            if template.size >= MIN_PIXELS:
                self._keyframes.append(_Keyframe(template, best.motion))

    def _best(
        self, levels: list[Float32[Array, "_ _ C"]], starts: list[Similarity], sufficient: float
    ) -> Alignment:
        """Align a picture from several starts, to the reference and the two nearest keyframes.

        Return the first result that agrees sufficiently, or else the best.
        """
        best = Alignment(self._latest, 0.0, np.inf)
        for keyframe in self._nearest():
            for start in starts:
                result = keyframe.template.align(levels, start.after(keyframe.motion.inverse()))
                if result.agreement > best.agreement + 0.02:
                    motion = result.motion.after(keyframe.motion)
                    best = Alignment(motion, result.agreement, result.spread)
            if best.agreement > max(sufficient, KEYFRAME_AGREEMENT):
                break
        return best

    def _nearest(self) -> list[_Keyframe]:
        """Return the reference and the two other keyframes nearest to the latest motion."""
        centre = self._keyframes[0].template.centre
        here = self._latest(centre)
        others = sorted(self._keyframes[1:], key=lambda frame: abs(frame.motion(centre) - here))
        return [self._keyframes[0], *others[:2]]

    def finish(self) -> TorsoMotion:
        """Return the motion of every picture added; weight 0 where it could not be measured.

        Raises:
            InputError: no picture was added.
        """
        if not self._measurements:
            raise InputError("the motion of the shoulders needs at least one picture, got none")
        centre = self._keyframes[0].template.centre if self._keyframes else 0j
        moved = np.array([row.motion(centre) - centre for row in self._measurements])
        anchor = (np.array([centre.real, centre.imag]) + 0.5) / self._factor - 0.5
        return TorsoMotion(
            shift=(np.stack([moved.real, moved.imag], axis=1) / self._factor).astype(np.float32),
            rotation=np.angle([row.motion.scale for row in self._measurements]).astype(np.float32),
            weight=np.array([row.weight for row in self._measurements], dtype=np.float32),
            anchor=anchor.astype(np.float32),
            reference=self._reference if self._keyframes else 0,
        )


def torso_region(
    mask: Float32[Array, "H W"], landmarks: Float[Array, "L _"]
) -> Float32[Array, "H W"]:
    """Return the importance of every pixel for the motion of the shoulders, 0..1.

    It is positive below the chin, on the person and just outside the outline, and grows with the
    distance from the face, because neck and collar follow the head in part.
    """
    face = landmarks[:468, :2].astype(np.float32)
    height, _ = face_size(face)
    first = int(np.clip(face[:, 1].max() + BELOW_CHIN * height, 0, mask.shape[0]))
    middle, radius = _neck(mask, face, first)
    rows, columns = np.indices(mask.shape, dtype=np.float32)
    near, far = NECK
    distance = np.hypot(columns - middle[0], rows - middle[1]) / radius
    region = np.clip((distance - near) / (far - near), 0.0, 1.0)
    person = (mask > 0.5).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * OUTSIDE + 1,) * 2)
    region *= cv2.dilate(person, kernel)
    region[:first] = 0.0
    return np.ascontiguousarray(region, dtype=np.float32)


def _neck(
    mask: Float32[Array, "H W"], face: Float32[Array, "L 2"], first: int
) -> tuple[tuple[float, float], float]:
    """Return the middle of the neck and half its width: the narrowest row below the chin.

    Where hair hides the neck, it is assumed below the middle of the face.
    """
    height, width = face_size(face)
    low, high = (share * width for share in NECK_SHARE)
    middle = float(face[[*SIDES], 0].mean())
    half = high
    row = float(first)
    narrowest = np.inf
    for y in range(max(first - int(0.15 * height), 0), min(first + int(0.5 * height), len(mask))):
        columns = np.flatnonzero(mask[y] > 0.5)
        if len(columns) and columns[-1] - columns[0] < narrowest:
            narrowest = columns[-1] - columns[0]
            if narrowest < 2.2 * high:
                middle = (columns[0] + columns[-1]) / 2.0
                half = float(np.clip(narrowest / 2.0, low, high))
                row = float(max(y, first))
    return (middle, row), half


def _is_plausible(motion: Similarity) -> bool:
    size = abs(motion.scale)
    usual_size = 1.0 / MAX_MAGNIFICATION < size < MAX_MAGNIFICATION
    return usual_size and bool(abs(np.angle(motion.scale)) < MAX_ROTATION)


def _reduced(
    image: UInt8[Array, "H W 3"],
    mask: Float32[Array, "H W"],
    landmarks: Float[Array, "L _"] | None,
    factor: float,
) -> tuple[Float32[Array, "h w 3"], Float32[Array, "h w"], Float[Array, "L 2"] | None]:
    """Return a picture as 0..1, its mask and its landmarks at the working size."""
    points = None if landmarks is None else np.asarray(landmarks)[:, :2]
    if factor < 1.0:
        size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
        points = None if points is None else (points + 0.5) * factor - 0.5
    return image.astype(np.float32) / np.float32(255.0), mask.astype(np.float32), points


def _sparse_flow(
    previous: UInt8[Array, "H W"] | None,
    grey: UInt8[Array, "H W"],
    region: UInt8[Array, "H W"] | None,
) -> Similarity | None:
    """Estimate the motion since the previous picture from corners, or return None.

    Pyramidal Lucas-Kanade there and back, then RANSAC.
    """
    if previous is None or region is None:
        return None
    corners = cv2.goodFeaturesToTrack(previous, 150, 0.02, 6, mask=region)
    if corners is None or len(corners) < 12:
        return None
    there, tracked, _ = cv2.calcOpticalFlowPyrLK(previous, grey, corners, np.empty_like(corners))
    back, returned, _ = cv2.calcOpticalFlowPyrLK(grey, previous, there, np.empty_like(corners))
    error = np.linalg.norm((back - corners)[:, 0], axis=1)
    kept = (tracked[:, 0] > 0) & (returned[:, 0] > 0) & (error < 0.7)
    if kept.sum() < 12:
        return None
    matrix, inliers = cv2.estimateAffinePartial2D(
        corners[kept], there[kept], method=cv2.RANSAC, ransacReprojThreshold=1.0
    )
    if matrix is None or inliers.sum() < 12:
        return None
    return Similarity(complex(matrix[0, 0], matrix[1, 0]), complex(matrix[0, 2], matrix[1, 2]))
