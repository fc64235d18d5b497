"""`flame_params.json`: the motion file of the published IMavatar datasets, read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.tracks.format import ForeignContentError, TrackFormat
from imavatar_deploy.tracks.track import DEFAULT_FPS, FlameTrack

Float = NDArray[np.float32]

DECIMALS = 6
"""Digits written after the point: about a micro-radian, far below what any tracker knows."""


TOP_KEYS = {"fps", "frames", "head_model", "intrinsics", "shape_params"}
FRAME_KEYS = {"expression", "file_path", "pose", "world_mat"}


def read(path: Path) -> FlameTrack:
    """Read `flame_params.json`: `frames[]{expression, pose, world_mat, file_path}`, `intrinsics`, `shape_params`.

    Unknown keys are skipped. Two keys of our own may be at the top: `head_model` (the edition) and `fps`. A file
    without any `world_mat` is a motion without cameras.

    Raises:
        InputError: not JSON, a missing key, a wrong number of values, a value that is not finite.
        ForeignContentError: JSON without `frames`.
    """
    document = _parse(path)
    frames = document["frames"]
    if not isinstance(frames, list) or not frames:
        raise InputError("frames must be a list with at least one frame")
    for index, frame in enumerate(frames):
        if not isinstance(frame, Mapping):
            raise InputError(f"frame {index} must be an object, got {type(frame).__name__}")
    return FlameTrack(
        expression=_column(frames, "expression", EXPRESSION_SIZE),
        pose=_column(frames, "pose", POSE_SIZE),
        cameras=_cameras(frames, document),
        fps=document.get("fps", DEFAULT_FPS),
        edition=document.get("head_model"),
        shape=as_float32("shape_params", document.get("shape_params", ()), ("S",)),
        names=tuple(_name(frame, index) for index, frame in enumerate(frames)),
    )


def unread(path: Path) -> set[str]:
    """Names of the keys that `read` skips, such as `bbox` and `flame_keypoints`.

    Raises:
        InputError: not JSON.
        ForeignContentError: JSON without `frames`.
    """
    document = _parse(path)
    frames = [set(frame) for frame in document["frames"] if isinstance(frame, Mapping)]
    return (set(document) - TOP_KEYS) | (set().union(*frames) - FRAME_KEYS)


def write(track: FlameTrack, path: Path) -> None:
    """Write a track in the published schema, with `fps` and, where known, `head_model` beside it.

    `bbox` and `flame_keypoints` are left out: they describe a tracked face, and a motion has none.

    Raises:
        UsageError: the cameras differ in their intrinsics, of which the format holds one set.
    """
    document: dict[str, Any] = {"fps": track.fps}
    if track.edition:
        document["head_model"] = track.edition
    if track.cameras:
        document["intrinsics"] = _shared_intrinsics(track.cameras)
    document["shape_params"] = _rounded(track.shape)
    document["frames"] = [_frame_entry(track, index) for index in range(len(track))]
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


def _parse(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (
        ValueError,
        RecursionError,
    ) as error:  # ValueError: bad JSON as well as bytes that are no UTF-8
        raise InputError(
            f"not readable as JSON ({error}); is the file cut short, or of another format?"
        ) from error
    if not isinstance(document, Mapping) or "frames" not in document:
        raise ForeignContentError
    return document


def _column(frames: list[Mapping[str, Any]], key: str, size: int) -> Any:
    """[T, size] of one key; `FlameTrack` checks that they are finite numbers."""
    for index, frame in enumerate(frames):
        if not isinstance(frame.get(key), list):
            raise InputError(
                f"frame {index} must have {key!r}, a list of {size} numbers, got {frame.get(key)!r:.40}"
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
            "there is a world_mat but no 'intrinsics': expected 4 numbers, [-fx, fy, cx, cy] / image size"
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
    """`./image/12` -> `12`; without its folders a name is safe to make output files from."""
    return PurePosixPath(str(frame.get("file_path", ""))).name or str(index + 1)


def _shared_intrinsics(cameras: tuple[Camera, ...]) -> list[float]:
    for index, camera in enumerate(cameras):
        if not np.array_equal(camera.intrinsics, cameras[0].intrinsics):
            raise UsageError(
                f"flame_params holds one set of intrinsics for all frames, and those of frame {index} differ from "
                "those of frame 0: split the track there"
            )
    return _rounded(cameras[0].intrinsics * np.array([-1, 1, 1, 1], dtype=np.float32))


def _frame_entry(track: FlameTrack, index: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"file_path": f"./image/{track.names[index]}"}
    if track.cameras:
        entry["world_mat"] = [_rounded(row) for row in track.cameras[index].world_to_camera]
    return entry | {
        "expression": _rounded(track.expression[index]),
        "pose": _rounded(track.pose[index]),
    }


def _rounded(values: Float) -> list[float]:
    """As plain numbers; whole ones without a point, which halves the size of a sparse motion."""
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
