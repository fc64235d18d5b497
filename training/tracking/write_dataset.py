"""Writes a tracked video in the published layout."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.atomic import write_text
from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.dataset.video import TRACK_FILE
from imavatar_deploy.head_fit import SequenceFit, landmark_points, landmark_points_68
from imavatar_deploy.head_fit.landmark_groups import LEFT_IRIS, RIGHT_IRIS
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks import FlameTrack, write_track

IRISES = (RIGHT_IRIS[0], LEFT_IRIS[0])

DECIMALS = 5
"""Decimals of keypoints and boxes."""


def flame_track(
    fit: SequenceFit,
    intrinsics: Float32[Array, "4"],
    *,
    fps: float,
    edition: str,
    names: tuple[str, ...],
) -> FlameTrack:
    """Return a fit as a track, whose cameras do not turn."""
    cameras = tuple(
        Camera(np.column_stack([np.eye(3), translation]).astype(np.float32), intrinsics)
        for translation in fit.translation
    )
    return FlameTrack(
        fit.expression,
        fit.pose,
        cameras,
        fps=fps,
        edition=edition,
        shape=fit.shape,
        names=names,
    )


def write_flame_params(track: FlameTrack, head: HeadModel, folder: Path) -> None:
    """Write the track with `flame_keypoints` (68 landmarks and irises) and `bbox` of each frame.

    Args:
        track: the track, with cameras.
        head: its head model, without the subject's shape.
        folder: folder of the video.
    """
    path = folder / TRACK_FILE
    write_track(track, path)
    document = json.loads(path.read_text(encoding="utf-8"))
    few, all_points = landmark_points_68(head), landmark_points(head)
    subject = head.for_subject(track.shape)
    for entry, frame in zip(document["frames"], track.frames(), strict=True):
        assert frame.camera is not None
        vertices = subject.vertices(frame.expression, frame.pose)
        irises = all_points.positions(vertices, head.faces)[list(IRISES)]
        points = np.concatenate([few.positions(vertices, head.faces), irises])
        keypoints = np.round(_projected(points, frame.camera).astype(float), DECIMALS)
        entry["bbox"] = [*map(float, keypoints.min(axis=0)), *map(float, keypoints.max(axis=0))]
        entry["flame_keypoints"] = keypoints.tolist()
    write_text(path, json.dumps(document, separators=(",", ":")) + "\n")


def _projected(points: Float32[Array, "N 3"], camera: Camera) -> Float32[Array, "N 2"]:
    """Columns and rows, from -1 at the first edge of the picture to 1."""
    matrix = camera.image_matrix(2, 2)
    homogeneous = UNITS_PER_METRE * points @ matrix[:, :3].T + matrix[:, 3]
    return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:] - 1.0, dtype=np.float32)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        partial = target.with_suffix(".partial")
        shutil.copyfile(source, partial)
        partial.replace(target)


# The finished dataset moves out of the work folder


def publish(finished: Path, out: Path, work: Path) -> None:
    """Move the entries of a finished dataset to their places, tracks last.

    Entries of the same name in `out` make room first. After an interruption the same call
    completes the move.

    Args:
        finished: folder with the new entries, inside `work`.
        out: the dataset.
        work: the work folder, inside `out`; removed at the end.
    """
    for staging in list(finished.rglob(".*.partial-*")):
        _clear(staging)  # of a run that was killed while it wrote a file
    old = work / "old"
    old.mkdir(exist_ok=True)
    entries = sorted(finished.iterdir(), key=lambda path: (path.name == TRACK_FILE, path.name))
    track = out / TRACK_FILE
    if entries and track.exists() and not (old / TRACK_FILE).exists():
        track.replace(old / TRACK_FILE)  # without it the folder is no dataset
    for entry in entries:
        target = out / entry.name
        if target.exists():
            _clear(old / entry.name)
            target.replace(old / entry.name)
        entry.replace(target)
    shutil.rmtree(work)


def _clear(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
