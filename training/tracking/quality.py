"""Quality of tracked frames: sharpness, brightness and occlusion of the face, and what is dropped.

Measures of one frame are taken while the video is read. Frames are judged together, once all are
read: what counts as blurred or occluded is relative to the video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float, Float32, Float64, UInt8
from imavatar_deploy.head_fit.landmark_groups import LEFT_EYE, LIPS_OUTER, OVAL, RIGHT_EYE
from imavatar_deploy.vision.region import FaceRegion

if TYPE_CHECKING:
    from imavatar_deploy.vision import LandmarkNetwork

PATCH = 24
"""Side of the upright face that is kept of every frame, pixels."""

BLURRED = 0.25
"""Sharpness relative to that of the frames around, below which a frame is blurred."""

SHARPNESS_WINDOW = 25
"""Frames whose median sharpness a frame is compared with."""

MIN_CONFIDENCE = 0.6
"""Confidence of the landmarks below which a face is occluded or turned away."""

MAX_YAW = 65.0
"""Degrees by which a head may be turned to the side: beyond, one half of the landmarks is hidden
and the other lies on the outline."""

UNSTEADY = 0.0115
"""Disagreement of landmarks from which something covers the face, see `unsteadiness`. A free face
has 0.005 to 0.011, a hand over mouth and nose 0.012 to 0.018."""
UNSTEADY_TURN = 2e-4
"""What is added for every degree that the head is turned: at 30 degrees a free face has 0.014."""

UNSTEADY_RATIO = 1.5
"""The same in multiples of the video's median: landmarks of small faces are less steady."""
RATIO_TURN, SMALL_TURN = 0.025, 10.0
"""What is added to that ratio for every degree beyond a small turn. The landmarks of some free
faces are twice as unsteady at 30 degrees as in the middle of their videos."""

STEADINESS_STEP = 3
"""Frames from one measurement of `unsteadiness` to the next; its value stays in between."""

CROPS = ((1.0, 0.0, (0.0, 0.0)), (1.12, 0.1, (0.03, 0.02)), (0.9, -0.12, (-0.03, -0.02)))
"""Sides, turns (radians) and shifts (sides) of the crops that are read again."""

OCCLUDED = "occluded"
"""Reason to drop a frame in which something covers the face."""
OCCLUDED_SHARE = 0.22
"""Share of the face that differs from the video's usual face where something covers it."""

DIFFERENCE = 4.0
"""Difference of a colour from the usual one that counts, in multiples of its usual spread..."""
MIN_DIFFERENCE = 30.0
"""...and at least so many steps of 256."""

MAX_SHARE_DROPPED = 0.5
"""A reason that would drop more frames than this describes the video and not single frames."""

IBUG_EYES = (range(36, 42), range(42, 48))
IBUG_LIPS = range(48, 60)
IBUG_OVAL = tuple([*range(17), 26, 25, 24, 19, 18, 17])


@dataclass(frozen=True, eq=False)
class FaceQuality:
    """Measures of the face in one frame."""

    sharpness: float
    """Variance of the Laplacian of the face, in steps of 256."""
    brightness: float
    """Mean brightness of the face, 0..1."""
    patch: UInt8[Array, "24 24 3"]
    """The face, upright and of one size."""


def oval(points: Float[Array, "L D"]) -> Float[Array, "M 2"]:
    """Outline of the face in landmarks of either kind, as a polygon."""
    return np.asarray(points[list(OVAL if len(points) > 68 else IBUG_OVAL), :2])


def face_height(points: Float[Array, "L D"]) -> float:
    """Height of an upright face in pixels, from all of its landmarks; turning changes it little."""
    extent = np.ptp(points[:, :2], axis=0)
    if len(points) < len(OVAL) * 2:  # 68 points begin at the brows
        return float(max(extent[1] * 1.35, extent[0] * 1.25))
    return float(max(extent[1], extent[0] * 1.15))


def face_mask(points: Float[Array, "L D"], height: int, width: int) -> Bool[Array, "H W"]:
    """Pixels within the outline of the face."""
    mask = np.zeros((height, width), dtype=np.uint8)
    cv2.fillPoly(mask, [np.round(oval(points)).astype(np.int32)], 1)
    return mask > 0


def measure(image: UInt8[Array, "H W 3"], points: Float32[Array, "L D"]) -> FaceQuality:
    """Measure the face of a frame."""
    outline = oval(points)
    low = np.floor(outline.min(axis=0)).astype(int).clip(0)
    high = np.ceil(outline.max(axis=0)).astype(int) + 1
    face = image[low[1] : high[1], low[0] : high[0]]
    if min(face.shape[:2]) < 3:  # the face has left the picture
        return FaceQuality(0.0, 0.0, np.zeros((PATCH, PATCH, 3), dtype=np.uint8))
    grey = cv2.cvtColor(np.ascontiguousarray(face), cv2.COLOR_RGB2GRAY)
    inside = face_mask(points[:, :2] - low, *grey.shape)
    if not inside.any():
        inside[:] = True
    edges = cv2.Laplacian(grey, cv2.CV_32F, ksize=3)
    return FaceQuality(
        sharpness=float(edges[inside].var()),
        brightness=float(grey[inside].mean() / 255.0),
        patch=_patch(image, points),
    )


def _patch(image: UInt8[Array, "H W 3"], points: Float32[Array, "L D"]) -> UInt8[Array, "24 24 3"]:
    """The face with eyes and mouth at fixed places."""
    turn = _upright(points)
    scale = max(1, int(np.ptp(points[:, 0]) / PATCH / 1.5))
    blurred = cv2.blur(image, (scale, scale)) if scale > 1 else image
    return np.asarray(
        cv2.warpAffine(blurred, turn, (PATCH, PATCH), borderMode=cv2.BORDER_REPLICATE)
    )


def _upright(points: Float32[Array, "L D"]) -> Float64[Array, "2 3"]:
    """The affine map from the picture to the upright face."""
    target = PATCH * np.array([[0.28, 0.36], [0.72, 0.36], [0.5, 0.76]], dtype=np.float32)
    return np.asarray(cv2.getAffineTransform(_anchors(points), target))


def _anchors(points: Float32[Array, "L D"]) -> Float32[Array, "3 2"]:
    """Middle of the right eye, of the left eye and of the mouth."""
    groups: Sequence[Sequence[int]] = (
        (RIGHT_EYE, LEFT_EYE, LIPS_OUTER) if len(points) > 68 else (*IBUG_EYES, IBUG_LIPS)
    )
    middles = [points[list(group), :2].mean(axis=0) for group in groups]
    return np.asarray(middles, dtype=np.float32)


def unsteadiness(
    network: LandmarkNetwork, image: UInt8[Array, "H W 3"], points: Float32[Array, "478 3"]
) -> float:
    """Return how much the landmarks of slightly different crops of a face disagree.

    It is the mean standard deviation of a landmark, relative to the distance of the eyes' outer
    corners. Where a hand covers the face, the network invents the landmarks below, and from every
    crop others.
    """
    region = FaceRegion.of_landmarks(points)
    reads = []
    for side, turn, shift in CROPS:
        moved = replace(
            region,
            side=region.side * side,
            angle=region.angle + turn,
            centre=region.centre + region.side * np.array(shift),
        )
        reads.append(network.read(image, moved)[0][:468, :2])
    deviation = np.linalg.norm(np.std(reads, axis=0), axis=1)
    eyes = float(np.linalg.norm(points[RIGHT_EYE[0], :2] - points[LEFT_EYE[0], :2]))
    return float(deviation.mean()) / max(eyes, 1.0)


FLAT_COLOURS = 3
COLOUR_STEP = 8
"""A drawn face is counted in its FLAT_COLOURS most frequent colours, in steps of 256."""


def flat_share(image: UInt8[Array, "H W 3"], points: Float32[Array, "L D"]) -> float:
    """Return the share of a face that has its three most frequent colours.

    Light falls differently on every part of a real face: the share is 0.05 to 0.35 in films and
    renders, and 0.9 or more in a drawing of flat colours.
    """
    mask = face_mask(points, *image.shape[:2])
    colours = image[mask].astype(np.int64) // COLOUR_STEP
    if not len(colours):
        return 0.0
    counts = np.bincount(colours @ np.array([1024, 32, 1]))
    return float(np.sort(counts)[-FLAT_COLOURS:].sum() / len(colours))


# Judging all frames


def relative_sharpness(values: Float32[Array, " T"]) -> Float32[Array, " T"]:
    """Sharpness relative to the median of the video."""
    return np.asarray(values / max(float(np.median(values)), 1e-6), dtype=np.float32)


def yaw_of_landmarks(points: Float32[Array, "T L D"]) -> Float32[Array, " T"]:
    """Turn of the head to the side in degrees, from the depth of the cheeks; zeros for 2D points.

    Positive to the person's left.
    """
    if points.shape[1] <= 68 or points.shape[2] < 3:
        return np.zeros(len(points), dtype=np.float32)
    right, left = points[:, 234], points[:, 454]
    across = left - right
    return np.asarray(np.degrees(np.arctan2(across[:, 2], across[:, 0])), dtype=np.float32)


def judge(
    *,
    landmarks: Float32[Array, "T L D"],
    confidences: Float32[Array, " T"],
    sharpness: Float32[Array, " T"],
    patches: UInt8[Array, "T 24 24 3"],
    second_faces: Bool[Array, " T"],
    unsteadiness: Float32[Array, " T"],
) -> list[str]:
    """Return the reason to drop each frame, empty for a good one.

    Args:
        landmarks: landmarks of each frame, pixels.
        confidences: their confidence, 0..1.
        sharpness: variance of the Laplacian of the face.
        patches: the upright faces.
        second_faces: whether a further face is in the square.
        unsteadiness: disagreement of the landmarks of slightly different crops.
    """
    yaw = np.abs(yaw_of_landmarks(landmarks))
    turned = yaw > MAX_YAW
    unsure = (confidences < MIN_CONFIDENCE) | _unsteady(unsteadiness, yaw)
    faults = {
        "two faces": second_faces,
        "turned away": turned,
        OCCLUDED: (unsure | (covered_share(patches, landmarks) > OCCLUDED_SHARE)) & ~turned,
        "blurred": sharpness < BLURRED * _running_median(sharpness),
    }
    reasons = [""] * len(landmarks)
    for reason, frames in faults.items():
        if frames.mean() > MAX_SHARE_DROPPED:
            continue
        for index in np.flatnonzero(frames):
            reasons[index] = reasons[index] or reason
    return reasons


def _unsteady(unsteadiness: Float32[Array, " T"], yaw: Float32[Array, " T"]) -> Bool[Array, " T"]:
    """Whether landmarks are less steady than those of a free face that is turned as far."""
    before = np.concatenate([np.zeros(STEADINESS_STEP - 1, dtype=np.float32), yaw])
    measured = np.lib.stride_tricks.sliding_window_view(before, STEADINESS_STEP).max(axis=1)
    ratio = UNSTEADY_RATIO + RATIO_TURN * np.maximum(measured - SMALL_TURN, 0.0)
    usual = ratio * float(np.median(unsteadiness))
    return np.asarray(unsteadiness > np.maximum(UNSTEADY + UNSTEADY_TURN * measured, usual))


def _running_median(values: Float32[Array, " T"]) -> Float32[Array, " T"]:
    half = SHARPNESS_WINDOW // 2
    padded = np.pad(values, half, mode="reflect" if len(values) > half else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    return np.asarray(np.median(windows, axis=1), dtype=np.float32)


def covered_share(
    patches: UInt8[Array, "T 24 24 3"], landmarks: Float32[Array, "T L D"]
) -> Float32[Array, " T"]:
    """Share of the face whose colour is unlike that of the other frames.

    A hand or a cup before the face is; talking and blinking change little of the area. Pixels
    count that are within the face's outline in this frame and in most others: beside a turned
    head the upright face shows the background.
    """
    inside = np.stack([_patch_face(points) for points in landmarks])
    common = inside.mean(axis=0) > 0.5
    inside = inside[:, common]
    count = np.maximum(inside.sum(axis=1), 1)
    values = np.where(inside[..., None], patches[:, common].astype(np.float32), np.nan)
    values -= np.nan_to_num(values).sum(axis=(1, 2), keepdims=True) / (3 * count[:, None, None])
    usual = np.nanmedian(values, axis=0)  # the light may change, and was taken out
    apart = np.abs(values - usual)
    limit = np.maximum(DIFFERENCE * 1.48 * np.nanmedian(apart, axis=0), MIN_DIFFERENCE)
    differs = (np.nan_to_num(apart) > limit).any(axis=2)
    return np.asarray(differs.sum(axis=1) / count, dtype=np.float32)


def _patch_face(points: Float32[Array, "L D"]) -> Bool[Array, "24 24"]:
    """The pixels of the upright face within its outline, without those at its border."""
    turn = _upright(points)
    outline = oval(points) @ turn[:, :2].T + turn[:, 2]
    mask = np.zeros((PATCH, PATCH), dtype=np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
    return np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8)) > 0)
