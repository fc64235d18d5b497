"""Recordings of one tracker, from Live Link Face or a track; and retargeting of whole tracks."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from imavatar_deploy.arrays import Array, Float64
from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget import find_retarget, read_map
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES
from imavatar_deploy.retarget.expression_map import FACE_POSE
from imavatar_deploy.tracks import FlameTrack, read_track

TIMECODE = "timecode"
COUNT = "blendshapecount"

RATES = (24, 25, 30, 48, 50, 60, 120)
"""Frame rates of timecodes; that of a file is the lowest one above its largest frame number."""

DAY = 86_400.0
"""Seconds of a day."""


# Live Link Face


def read_live_link(path: Path) -> tuple[str, Float64[Array, " T"], Float64[Array, "T 52"]]:
    """Read a `.csv` of the app Live Link Face: Timecode, BlendShapeCount and a column per shape.

    Rows without a face are left out.

    Returns:
        The vocabulary, the seconds since the first frame, and the weights.

    Raises:
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
        times = _seconds([row[TIMECODE] for row in rows])
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    except (ValueError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(
            f"{path} is not a table of ARKit weights as Live Link Face exports it ({error})"
        ) from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if not len(values):
        raise InputError(f"{path} holds no frame with a face")
    if not np.isfinite(values).all():
        raise InputError(f"{path} holds weights that are not finite")
    order = np.argsort(times, kind="stable")
    return ARKIT, times[order], values[order]


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
    parts = np.array([[float(part) for part in row] for row in fields])
    if not len(parts):
        return np.zeros(0)
    if parts.shape[1] != 4:
        raise InputError(f"a timecode must be HH:MM:SS:FF, got {codes[0]!r}")
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


# Recordings of all kinds


@dataclass(frozen=True)
class Recording:
    """T frames of a vocabulary's inputs, in the order of `expression_map.INPUTS`."""

    vocabulary: str
    times: Float64[Array, " T"]  # seconds, ascending
    values: Float64[Array, "T N"]


def read_recording(source: str | Path, edition: str | None = None) -> Recording:
    """Read ARKit weights from a Live Link Face `.csv`, or codes from a track of any known format.

    Args:
        source: a file, a folder, or the name of a bundled track.
        edition: the head model of a track whose format does not state it.

    Raises:
        InputError: the file is missing, damaged or of no known format, its head model is not known,
            or it is of another head model than `edition`.
    """
    if Path(source).suffix.lower() == ".csv":
        return Recording(*read_live_link(Path(source)))
    track = read_track(source)
    head_model = track.edition or edition
    if head_model is None:
        raise InputError(
            f"{source} does not say its head model; give it with --edition: {', '.join(EDITIONS)}"
        )
    if edition not in (None, head_model):
        raise InputError(
            f"{source} is a track of {head_model}, and --edition is {edition}; leave --edition out"
        )
    values = np.concatenate([track.expression, track.pose[:, FACE_POSE]], axis=1)
    return Recording(head_model, np.arange(len(track)) / track.fps, values.astype(float))


# Tracks in another head model's codes


def retarget_track(track: FlameTrack, map_file: str) -> FlameTrack:
    """Map every frame to the codes of another head model.

    The shape coefficients, which no map converts, are left out.

    Args:
        map_file: a map of codes, made by `imavatar-data fit-map --codes`.

    Raises:
        InputError: the map cannot be read, is made for another head model, or does not state its
            target.
    """
    target = read_map(map_file).target
    if target is None:
        raise InputError(
            f"{map_file} does not say for which head model it is; make one with "
            "imavatar-data fit-map"
        )
    retarget = find_retarget(track.edition, target, (), map_file=map_file)
    expression, pose = zip(*map(retarget, track.expression, track.pose), strict=True)
    return replace(
        track,
        expression=np.stack(expression),
        pose=np.stack(pose),
        edition=target,
        shape=np.zeros(0, dtype=np.float32),
    )
