"""Read recordings of ARKit's 52 weights: Live Link Face's `.csv`, and `.json` of several programs.

A track holds the codes of a head model. OpenHead's expressions are ARKit's shapes, so a recording
becomes a track of OpenHead: exactly, but for tongueOut, which OpenHead lacks. An avatar of another
head model is driven by it through a map of ARKit's shapes, as by a live stream.

    .csv    Timecode, BlendShapeCount, a column for each shape, and optionally HeadYaw, HeadPitch,
            HeadRoll and the same of LeftEye and RightEye, in radians. Rows without a face have the
            count 0. The signs of the angles are those of the app's stream.
    .json   LAM's and others' `names`, `frames[]{weights}` and `metadata{fps}`; frames with weights
            by name; Audio2Face's `facsNames`, `weightMat` and `exportFps`
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64
from imavatar_deploy.conventions import POSE_SIZE
from imavatar_deploy.errors import InputError, excerpt
from imavatar_deploy.kinematics import axis_angles, product, quaternions
from imavatar_deploy.retarget import find_retarget
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES
from imavatar_deploy.retarget.openhead_codes import OPENHEAD_NAMES

from .assembly import track_of
from .format import ForeignContentError, TrackFormat
from .track import DEFAULT_FPS, FlameTrack

TIMECODE = "timecode"
COUNT = "blendshapecount"

ROTATIONS = ("head", "lefteye", "righteye")
"""Rotations of a table; each has the columns yaw, pitch and roll."""

ANGLES = tuple(f"{part}{angle}" for part in ROTATIONS for angle in ("yaw", "pitch", "roll"))
"""Columns of the rotations."""

RATES = (24, 25, 30, 48, 50, 60, 120)
"""Frame rates of timecodes; that of a file is the lowest one above its largest frame number."""

DAY = 86_400.0
"""Seconds of a day."""

LEAST_NAMES = 10
"""Least number of ARKit's names by which a `.json` file is recognised."""

LARGEST_GAP = 20
"""Largest number of frames for each row of a table; more are interpolated from too little."""

TONGUE_WEIGHT = 0.05
"""Weight of tongueOut below which its loss is not noted."""

SPELLINGS = {name.lower(): place for place, name in enumerate(ARKIT_NAMES)}
"""Lower-case name -> place among ARKIT_NAMES; programs differ in their capitals."""


@dataclass(frozen=True)
class ArkitRecording:
    """T frames of ARKit's weights and of the rotations of head and eyes."""

    times: Float64[Array, " T"]  # seconds from the first, ascending
    weights: Float64[Array, "T 52"]  # in the order of ARKIT_NAMES
    angles: Float64[Array, "T 9"]  # radians, yaw, pitch and roll of head, left and right eye
    fps: float | None = None
    """Frames a second that the file states."""
    timed: bool = False
    """Whether the times are those of the file, which may be uneven."""
    notes: tuple[str, ...] = ()


# Live Link Face


def read_table(path: Path) -> ArkitRecording:
    """Read a `.csv` of the app Live Link Face. Rows without a face are left out.

    Raises:
        OSError: the file cannot be read.
        InputError: the file is no such table, a shape has no column, a value is no number, or no
            row has a face.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = [
                {str(key).strip().lower(): cell for key, cell in row.items()}
                for row in csv.DictReader(file)
            ]
        rows = [row for row in table if _has_face(row)]
        _check_columns(table)
        values = np.array([[float(row[name.lower()]) for name in ARKIT_NAMES] for row in rows])
        angles = np.array([[float(row.get(name) or 0) for name in ANGLES] for row in rows])
        times = _seconds([row[TIMECODE] for row in rows])
    except (ValueError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(
            f"{path.name} is not a table of ARKit weights as Live Link Face exports it "
            f"({excerpt(error)})"
        ) from error
    if not len(values):
        raise InputError(f"{path.name} holds no frame with a face")
    if not all(np.isfinite(array).all() for array in (values, angles, times)):
        raise InputError(f"{path.name} holds weights that are not finite, or angles or timecodes")
    order = np.argsort(times, kind="stable")
    return ArkitRecording(times[order], values[order], angles[order], timed=True)


def _has_face(row: Mapping[str, str]) -> bool:
    """Whether the row counts any shape, or has values where the table has no count."""
    return float(row.get(COUNT) or 0) > 0 or (COUNT not in row and any(row.values()))


def _check_columns(table: Sequence[Mapping[str, str]]) -> None:
    columns = table[0] if table else {}
    missing = [name for name in (TIMECODE, *ARKIT_NAMES) if name.lower() not in columns]
    if missing:
        raise InputError(
            f"has no column {missing[0]} ({len(missing)} of {1 + len(ARKIT_NAMES)} are missing); "
            "expected the .csv of a take that Live Link Face exports in ARKit mode"
        )


def _seconds(codes: Sequence[str]) -> Float64[Array, " T"]:
    """Seconds since the first row.

    Args:
        codes: timecodes `HH:MM:SS:FF.fraction`, or plain frame numbers of 60 a second.
    """
    fields = [code.split(":") if ":" in code else ["0", "0", "0", code] for code in codes]
    if any(len(row) != 4 for row in fields):
        raise InputError(f"a timecode must be HH:MM:SS:FF, got {excerpt(codes[0])!r}")
    parts = np.array([[float(part) for part in row] for row in fields])
    if not len(parts):
        return np.zeros(0)
    timed = ":" in codes[0]
    last = parts[:, 3].max()
    rate = (
        next((rate for rate in RATES if last < rate), RATES[-1])
        if timed and np.ptp(parts[:, 2])
        else 60
    )
    seconds = parts[:, :3] @ [3600.0, 60.0, 1.0] + parts[:, 3] / rate
    seconds = np.where(seconds < seconds[0], seconds + DAY, seconds)  # past midnight
    return np.asarray(seconds - seconds[0])


# JSON


def read_json(path: Path) -> ArkitRecording:
    """Read a `.json` of ARKit's weights.

    Raises:
        InputError: the file is no JSON, or its frames have different numbers of weights.
        ForeignContentError: it is JSON of another kind.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"not readable as JSON ({excerpt(error)}); is the file cut short, or of another format?"
        ) from error
    if isinstance(document, list):
        document = {"frames": document}
    if not isinstance(document, Mapping):
        raise ForeignContentError
    names, rows = _names_and_rows(document)
    places = {index: SPELLINGS[name] for index, name in enumerate(names) if name in SPELLINGS}
    if len({*places.values()}) < LEAST_NAMES or not rows:
        raise ForeignContentError
    weights = np.zeros((len(rows), len(ARKIT_NAMES)))
    for frame, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            raise InputError(f"frame {frame} must have {len(names)} weights, one for each name")
        weights[frame, list(places.values())] = _numbers(frame, [row[index] for index in places])
    fps = _rate(document)
    times = np.arange(len(rows)) / (fps or DEFAULT_FPS)
    turned = any(
        isinstance(frame, Mapping) and frame.get("rotation") for frame in _frames(document)
    )
    note = "its rotations are left out: neither their axes nor their unit are stated"
    angles = np.zeros((len(rows), len(ANGLES)))
    return ArkitRecording(times, weights, angles, fps, notes=(note,) if turned else ())


def _frames(document: Mapping[str, Any]) -> list[Any]:
    frames = document.get("frames")
    return frames if isinstance(frames, list) else []


def _names_and_rows(document: Mapping[str, Any]) -> tuple[list[str], list[Any]]:
    """Return the lower-case names of the weights, and a row of weights for each frame."""
    metadata = document.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    for names in (
        document.get("names"),
        metadata.get("blendshape_names"),
        document.get("facsNames"),
    ):
        if isinstance(names, list):
            rows = document.get("weightMat")
            if not isinstance(rows, list):
                rows = [
                    frame.get("weights") if isinstance(frame, Mapping) else frame
                    for frame in _frames(document)
                ]
            return [str(name).lower() for name in names], rows
    by_name = [_by_name(frame) for frame in _frames(document)]
    known = sorted({name for row in by_name for name in row if name in SPELLINGS})
    return known, [[row.get(name, 0.0) for name in known] for row in by_name]


def _by_name(frame: Any) -> dict[str, Any]:
    """Return the weights of a frame by lower-case name; empty where it has none."""
    if not isinstance(frame, Mapping):
        return {}
    nested = [frame.get(key) for key in ("weights", "blendshapes", "blendShapes")]
    values = next((part for part in nested if isinstance(part, Mapping)), frame)
    return {str(name).lower(): value for name, value in values.items()}


def _numbers(frame: int, row: Iterable[Any]) -> Float64[Array, " N"]:
    values = list(row)
    if not all(isinstance(value, int | float) for value in values):
        raise InputError(f"the weights of frame {frame} must be numbers")
    numbers = np.array(values, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise InputError(f"the weights of frame {frame} must be finite")
    return numbers


def _rate(document: Mapping[str, Any]) -> float | None:
    """Return frames a second, where the file states them or the times of its frames."""
    metadata = document.get("metadata")
    stated = metadata.get("fps") if isinstance(metadata, Mapping) else None
    for value in (stated, document.get("fps"), document.get("exportFps")):
        if isinstance(value, int | float) and 0 < value < float("inf"):
            return float(value)
    times = [
        float(frame["time"])
        for frame in _frames(document)
        if isinstance(frame, Mapping) and isinstance(frame.get("time"), int | float)
    ]
    steps = np.diff(times)
    return float(1 / np.median(steps)) if len(steps) and np.median(steps) > 0 else None


# Tracks


def track_of_recording(recording: ArkitRecording) -> FlameTrack:
    """Return a recording as a track of OpenHead, evenly spaced in time."""
    weights = np.clip(recording.weights, 0, 1)
    angles = recording.angles
    fps = recording.fps
    notes = list(recording.notes)
    if recording.timed and recording.times[-1] > 0:
        fps, frames = _grid(recording.times)
        even = np.arange(frames[-1] + 1)
        if missing := len(even) - len({*frames.tolist()}):
            notes.append(f"{missing} frames are missing or without a face; they are interpolated")
        weights, angles = (
            np.stack([np.interp(even, frames, column) for column in values.T], axis=1)
            for values in (weights, angles)
        )
    if weights[:, ARKIT_NAMES.index("tongueOut")].max() > TONGUE_WEIGHT:
        notes.append("tongueOut is left out: OpenHead has no tongue that could move")
    pose = np.zeros((len(weights), POSE_SIZE), dtype=np.float32)
    turns = rotation_vectors(angles)
    pose[:, :3], pose[:, 9:12], pose[:, 12:15] = (turns[:, part] for part in range(3))
    retarget = find_retarget(ARKIT, "openhead", OPENHEAD_NAMES)
    codes = [
        retarget(row.astype(np.float32), frame) for row, frame in zip(weights, pose, strict=True)
    ]
    expression, posed = (np.stack(part) for part in zip(*codes, strict=True))
    return track_of(expression, posed, edition="openhead", fps=fps, notes=notes)


def _grid(times: Float64[Array, " T"]) -> tuple[float, Float64[Array, " T"]]:
    """Return the rate of a recording, and the number of the frame of each row.

    Raises:
        InputError: most frames between the first and the last are missing.
    """
    steps = sorted(step for step in np.diff(times).tolist() if step > 0)
    rate = round(1 / steps[(len(steps) - 1) // 2], 3)
    frames = np.round((times - times[0]) * rate)
    if frames[-1] > LARGEST_GAP * len(times):
        raise InputError(
            f"its timecodes last {times[-1]:.0f} seconds for {len(times)} rows: are they of "
            "several takes? split them"
        )
    return rate, frames


def rotation_vectors(angles: Float64[Array, "T 9"]) -> Float32[Array, "T 3 3"]:
    """Return axis-angles `[T, 3, 3]` in model axes of yaw, pitch and roll of head and both eyes.

    As in the app's stream, a yaw is negative to the person's left, a pitch positive downwards, and
    a roll negative to the person's right shoulder; roll is applied first and yaw last.
    """
    yaw, pitch, roll = np.moveaxis(angles.reshape(len(angles), 3, 3), 2, 0)
    still = np.zeros_like(yaw)
    left, down, shoulder = (
        quaternions(np.stack(vector, axis=-1).reshape(len(angles), 9))
        for vector in (
            (still, -yaw, still),
            (pitch, still, still),
            (still, still, -roll),
        )
    )
    turns = axis_angles(product(product(left, down), shoulder))
    return np.asarray(turns.reshape(len(angles), 3, 3), dtype=np.float32)


def read_live_link(path: Path) -> FlameTrack:
    """Read a `.csv` of Live Link Face as a track.

    Raises:
        InputError: as `read_table`.
    """
    return track_of_recording(read_table(path))


def read_arkit_json(path: Path) -> FlameTrack:
    """Read a `.json` of ARKit's weights as a track.

    Raises:
        InputError: as `read_json`.
        ForeignContentError: as `read_json`.
    """
    return track_of_recording(read_json(path))


LIVE_LINK = TrackFormat(
    name="live-link-face",
    description="a take of Live Link Face (ARKit)",
    suffixes=(".csv",),
    read=read_live_link,
)

ARKIT_JSON = TrackFormat(
    name="arkit-json",
    description="ARKit's weights of LAM, Audio2Face and others",
    suffixes=(".json",),
    read=read_arkit_json,
)
