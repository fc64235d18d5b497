"""Results of tracking made of numbers alone, and of the frames of a rendered subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.dataset.video import Video
from imavatar_deploy.head_fit.correspondences import LANDMARKS, landmark_points
from imavatar_deploy.head_fit.sequence_fit import SequenceFit
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training.tracking.coverage import EXPRESSION_GOALS
from imavatar_deploy.training.tracking.result import DroppedFrame, TrackResult

FPS = 25.0
SIZE = 128
NAMES = HeadModel.load("openhead").expression_names


def good_result(frames: int = 500) -> TrackResult:
    """A video without a fault: the head turns, and every expression comes once."""
    phase = np.linspace(0.0, 2.0 * np.pi, frames, endpoint=False)
    pose = np.zeros((frames, 15), dtype=np.float32)
    pose[:, 4] = np.radians(32.0) * np.sin(2 * phase)
    pose[:, 3] = np.radians(13.0) * np.sin(5 * phase)
    expression = np.zeros((frames, 50), dtype=np.float32)
    for slot, goal in zip(
        np.array_split(np.arange(frames), len(EXPRESSION_GOALS)), EXPRESSION_GOALS, strict=True
    ):
        bell = np.sin(np.linspace(0.0, np.pi, len(slot)))
        if goal.shapes == ("jaw",):
            pose[slot, 6] = np.radians(18.0) * bell
        for name in goal.shapes:
            if name != "jaw":
                expression[slot, NAMES.index(name)] = 0.8 * bell
    angle = np.linspace(0.0, 2.0 * np.pi, LANDMARKS)
    circle = SIZE * (0.5 + 0.2 * np.column_stack([np.cos(angle), np.sin(angle), 0.0 * angle]))
    return TrackResult(
        folder=Path("nowhere"),
        video="me.mp4",
        size=SIZE,
        fps=FPS,
        times=np.arange(frames) / FPS,
        names=tuple(str(index + 1) for index in range(frames)),
        source_frames=np.arange(frames),
        landmarks=np.tile(circle.astype(np.float32), (frames, 1, 1)),
        confidences=np.ones(frames, dtype=np.float32),
        fit=SequenceFit(
            shape=np.zeros(30, dtype=np.float32),
            expression=expression,
            pose=pose,
            translation=np.tile(np.float32([0.0, 0.0, -4.0]), (frames, 1)),
            errors=np.full(frames, 0.3, dtype=np.float32),
            point_errors=np.full((frames, LANDMARKS), 0.3, dtype=np.float32),
            weights=np.ones((frames, LANDMARKS), dtype=np.float32),
            offsets=np.zeros((3, LANDMARKS, 3), dtype=np.float32),
        ),
        intrinsics=np.float32([2.7, 2.7, 0.5, 0.48]),
        focal_source="EXIF",
        dropped=(),
        brightness=(0.5 + 0.05 * np.sin(2 * phase)).astype(np.float32),
        sharpness=np.ones(frames, dtype=np.float32),
        mask_share=np.full(frames, 0.3, dtype=np.float32),
        notes=(),
        edition="openhead",
    )


def refitted(result: TrackResult, **arrays: Any) -> TrackResult:
    """The result with other arrays in its fit."""
    return replace(result, fit=replace(result.fit, **arrays))


def with_drops(result: TrackResult, reason: str, start: float, count: int) -> TrackResult:
    """The result with `count` more dropped frames from a moment on, beside those that it has."""
    first = round(start * FPS)
    frames = tuple(
        DroppedFrame(index, index / FPS, reason) for index in range(first, first + count)
    )
    return replace(result, dropped=result.dropped + frames)


def rendered_result(folder: Path, shape: Sequence[float] | NDArray[np.float32]) -> TrackResult:
    """The truth of a rendered set as if it had been tracked, with noise on the landmarks.

    Args:
        folder: of a set that `synthesise` wrote with `SIZE`.
        shape: of the subject.
    """
    track = Video.read(folder).track
    frames = len(track)
    coefficients = np.asarray(shape, dtype=np.float32)
    head = HeadModel.load("openhead").for_subject(coefficients)
    points = landmark_points(head)
    camera = track.cameras[0]
    matrix = camera.image_matrix(SIZE, SIZE)
    true = []
    for frame in track.frames():
        vertices = UNITS_PER_METRE * head.vertices(frame.expression, frame.pose)
        column, row, depth = (
            matrix[:, :3] @ points.positions(vertices, head.faces).T + matrix[:, 3:]
        )
        true.append(np.column_stack([column / depth, row / depth, 0.0 * depth]))
    noise = np.random.default_rng(0).normal(0.0, 0.2, (frames, LANDMARKS, 2))
    landmarks = np.array(true)
    landmarks[..., :2] += noise
    errors = np.linalg.norm(noise, axis=2).astype(np.float32)
    base = good_result(frames)
    return replace(
        base,
        folder=folder,
        fps=track.fps,
        times=np.arange(frames) / track.fps,
        names=track.names,
        landmarks=landmarks.astype(np.float32),
        intrinsics=camera.intrinsics,
        fit=replace(
            base.fit,
            shape=coefficients,
            expression=track.expression,
            pose=track.pose,
            errors=errors.mean(axis=1),
            point_errors=errors,
        ),
    )
