"""Read and write `flame_params.json`, the motion file of the published IMavatar datasets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.camera import Camera
from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.errors import InputError, UsageError, excerpt
from imavatar_deploy.tracks.assembly import fifty
from imavatar_deploy.tracks.format import ForeignContentError, TrackFormat
from imavatar_deploy.tracks.track import ASSUMED_FPS_NOTE, DEFAULT_FPS, FlameTrack

DECIMALS = 6
"""Decimal places written: about a micro-radian, far below the error of any tracker."""

TOP_KEYS = {"fps", "frames", "head_model", "intrinsics", "shape_params"}
FRAME_KEYS = {"expression", "file_path", "pose", "world_mat"}


def read(path: Path) -> FlameTrack:
    """Read a `flame_params.json`.

    Its keys are `frames[]{expression, pose, world_mat, file_path}`, `intrinsics` and
    `shape_params`. Two optional keys of this package are `head_model` (the edition) and `fps`.
    Unknown keys are ignored, and expressions after the first 50. A file without any `world_mat` is
    a motion without cameras.

    Raises:
        InputError: the file is no JSON, a key is missing, a number of values is wrong, or a value
            is not finite, or it holds cameras alone.
        ForeignContentError: the file is JSON without `frames`, or with those of another kind.
    """
    document = _parse(path)
    frames = document["frames"]
    if not isinstance(frames, list) or not frames:
        raise InputError("frames must be a list with at least one frame")
    _refuse_other_frames(frames)
    for index, frame in enumerate(frames):
        if not isinstance(frame, Mapping):
            raise InputError(f"frame {index} must be an object, got {type(frame).__name__}")
    expression, cut = fifty(_expressions(frames))
    pose: Any = _column(frames, "pose", POSE_SIZE)  # FlameTrack converts it, and names the frame
    return FlameTrack(
        expression=expression,
        pose=pose,
        cameras=_cameras(frames, document),
        fps=document.get("fps", DEFAULT_FPS),
        edition=document.get("head_model"),
        shape=as_float32("shape_params", document.get("shape_params", ()), ("S",)),
        names=tuple(_name(frame, index) for index, frame in enumerate(frames)),
        notes=(*cut, *([] if "fps" in document else [ASSUMED_FPS_NOTE])),
    )


def _refuse_other_frames(frames: list[Any]) -> None:
    """Refuse the frames of another file.

    Raises:
        InputError: they are the cameras of a dataset.
        ForeignContentError: none of them has an expression or a pose.
    """
    objects = [frame for frame in frames if isinstance(frame, Mapping)]
    if any("expression" in frame or "pose" in frame for frame in objects):
        return
    if any("transform_matrix" in frame for frame in objects):
        raise InputError(
            "this file holds the cameras of a dataset's pictures and no motion: give the folder "
            "flame_param/ beside it, or the folder that both are in"
        )
    if objects:
        raise ForeignContentError


def unread(path: Path) -> set[str]:
    """Return the names of the keys that `read` ignores, such as `bbox` and `flame_keypoints`.

    Raises:
        InputError: the file is no JSON.
        ForeignContentError: the file is JSON without `frames`.
    """
    document = _parse(path)
    frames = [set(frame) for frame in document["frames"] if isinstance(frame, Mapping)]
    return (set(document) - TOP_KEYS) | (set().union(*frames) - FRAME_KEYS)


def write(track: FlameTrack, path: Path) -> None:
    """Write a track in the published schema, with `fps` and, if known, `head_model`.

    `bbox` and `flame_keypoints`, which describe the face in an image, are not written.

    Raises:
        UsageError: the intrinsics of the cameras differ; the format has one set for all.
    """
    document: dict[str, Any] = {"fps": track.fps}
    if track.edition:
        document["head_model"] = track.edition
    if track.cameras:
        document["intrinsics"] = _shared_intrinsics(track.cameras)
    document["shape_params"] = _round(track.shape)
    document["frames"] = [_frame_entry(track, index) for index in range(len(track))]
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


def _parse(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: invalid JSON or invalid UTF-8
        raise InputError(
            f"not readable as JSON ({excerpt(error)}); is the file cut short, or of another format?"
        ) from error
    if not isinstance(document, Mapping) or "frames" not in document:
        raise ForeignContentError
    return document


def _expressions(frames: list[Mapping[str, Any]]) -> Float32[Array, "T n"]:
    """Return the expressions, of which every frame has as many as the first."""
    first = frames[0].get("expression")
    size = len(first) if isinstance(first, list) and first else EXPRESSION_SIZE
    rows = _column(frames, "expression", size)
    return np.stack(
        [as_float32(f"expression of frame {index}", row, (size,)) for index, row in enumerate(rows)]
    )


def _column(frames: list[Mapping[str, Any]], key: str, size: int) -> list[list[Any]]:
    """Return the values `[T, size]` of a key; they may be of any type."""
    for index, frame in enumerate(frames):
        if not isinstance(frame.get(key), list):
            raise InputError(
                f"frame {index} must have {key!r}, a list of {size} numbers, "
                f"got {excerpt(repr(frame.get(key)), 40)}"
            )
        if len(frame[key]) != size:
            raise InputError(
                f"{key} of frame {index} must have {size} values, got {len(frame[key])}"
            )
    return [frame[key] for frame in frames]


def _cameras(frames: list[Mapping[str, Any]], document: Mapping[str, Any]) -> tuple[Camera, ...]:
    if not any("world_mat" in frame for frame in frames):
        return ()
    if "intrinsics" not in document:
        raise InputError(
            "there is a world_mat but no 'intrinsics': expected 4 numbers, "
            "[-fx, fy, cx, cy] / image size"
        )
    return tuple(
        _camera(frame, index, document["intrinsics"]) for index, frame in enumerate(frames)
    )


def _camera(frame: Mapping[str, Any], index: int, intrinsics: Any) -> Camera:
    if "world_mat" not in frame:
        raise InputError(f"frame {index} has no 'world_mat' while others have one")
    world_mat = as_float32(f"world_mat of frame {index}", frame["world_mat"], ("rows", 4))
    if len(world_mat) not in (3, 4):
        raise InputError(
            f"world_mat of frame {index} must be 3 x 4 or 4 x 4, got {len(world_mat)} x 4"
        )
    return Camera.from_dataset(world_mat, intrinsics)


def _name(frame: Mapping[str, Any], index: int) -> str:
    """Return the last part of `file_path`, `12` of `./image/12`: safe as the name of a file."""
    return PurePosixPath(str(frame.get("file_path", ""))).name or str(index + 1)


def _shared_intrinsics(cameras: tuple[Camera, ...]) -> list[float]:
    for index, camera in enumerate(cameras):
        if not np.array_equal(camera.intrinsics, cameras[0].intrinsics):
            raise UsageError(
                "flame_params holds one set of intrinsics for all frames, and those of frame "
                f"{index} differ from those of frame 0: split the track there"
            )
    return _round(cameras[0].intrinsics * np.array([-1, 1, 1, 1], dtype=np.float32))


def _frame_entry(track: FlameTrack, index: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"file_path": f"./image/{track.names[index]}"}
    if track.cameras:
        entry["world_mat"] = [_round(row) for row in track.cameras[index].world_to_camera]
    return entry | {
        "expression": _round(track.expression[index]),
        "pose": _round(track.pose[index]),
    }


def _round(values: Float32[Array, " N"]) -> list[float]:
    """Return rounded numbers, whole ones as integers: this halves the size of a sparse motion."""
    return [
        int(value) if value == int(value) else value
        for value in np.round(values.astype(float), DECIMALS).tolist()
    ]


FORMAT = TrackFormat(
    name="flame_params",
    description="IMavatar's flame_params.json",
    suffixes=(".json",),
    read=read,
    write=write,
    unread=unread,
)
