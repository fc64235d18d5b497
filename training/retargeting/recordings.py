"""A take: one performance as one tracker saw it, in that tracker's words, with the time of every frame."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget import find_retarget, read_map
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES
from imavatar_deploy.retarget.expression_map import FACE_POSE
from imavatar_deploy.tracks import FlameTrack, read_track

# A take as the Live Link Face app exports it: a `.csv` with Timecode, BlendShapeCount and a column for every shape.


Double = NDArray[np.float64]

TIMECODE, COUNT = "timecode", "blendshapecount"

RATES = (24, 25, 30, 48, 50, 60, 120)
"""Frames a second that timecodes count in; the slowest that the frames of a take fit in is its own."""

DAY = 86_400.0


def read_live_link(path: Path) -> tuple[str, Double, Double]:
    """The vocabulary, [T] seconds since the first frame, and [T, 52] weights; rows without a face are left out.

    Raises:
        InputError: no such table, a shape without a column, a value that is no number, or no row with a face.
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
    if not len(values) or not np.isfinite(values).all():
        raise InputError(
            f"{path} holds {'no frame with a face' if not len(values) else 'weights that are not finite'}"
        )
    order = np.argsort(times, kind="stable")
    return ARKIT, times[order], values[order]


def _has_face(row: Mapping[str, str]) -> bool:
    """A row counts its shapes, and a frame in which no face was found has none."""
    return float(row.get(COUNT) or 0) > 0 or (COUNT not in row and any(row.values()))


def _check_columns(table: Sequence[Mapping[str, str]]) -> None:
    held = table[0] if table else {}
    missing = [name for name in (TIMECODE, *ARKIT_NAMES) if name.lower() not in held]
    if missing:
        raise InputError(
            f"has no column {missing[0]} ({len(missing)} of {1 + len(ARKIT_NAMES)} are missing); expected the .csv of "
            "a take that Live Link Face exports in ARKit mode"
        )


def _seconds(codes: Sequence[str]) -> Double:
    """[T] since the first: timecodes `HH:MM:SS:FF.fraction`, or plain frame numbers of 60 a second."""
    spelt = [code.split(":") if ":" in code else ["0", "0", "0", code] for code in codes]
    parts = np.array([[float(part) for part in parts] for parts in spelt])
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
    return np.asarray(
        np.where(seconds < seconds[0], seconds + DAY, seconds) - seconds[0]
    )  # past midnight


@dataclass(frozen=True)
class Recording:
    """T frames of one vocabulary's inputs (see `controls.INPUTS`)."""

    vocabulary: str
    times: Double  # [T] seconds, ascending
    values: Double  # [T, n]


def read_recording(source: str | Path, edition: str | None = None) -> Recording:
    """Read ARKit weights from a Live Link Face `.csv`, or codes from a track of any known format.

    Args:
        edition: the head model of a track that does not say.

    Raises:
        InputError: the file is absent, damaged or of no known format, or does not say its head model.
    """
    if Path(source).suffix.lower() == ".csv":
        return Recording(*read_live_link(Path(source)))
    track = read_track(source)
    said = track.edition or edition
    if said is None:
        raise InputError(
            f"{source} does not say its head model; give it with --edition: {', '.join(EDITIONS)}"
        )
    if edition not in (None, said):
        raise InputError(
            f"{source} says it is of {said}, and --edition says {edition}; leave --edition out"
        )
    values = np.concatenate([track.expression, track.pose[:, FACE_POSE]], axis=1)
    return Recording(said, np.arange(len(track)) / track.fps, values.astype(float))


# A whole track in another head model's codes, by a map.


def retarget_track(track: FlameTrack, map_file: str) -> FlameTrack:
    """Every frame through a map of codes (`imavatar-data fit-map --codes`); the shape, which no map knows, is left out.

    Raises:
        InputError: the map cannot be read, is made for another head model, or does not say for which.
    """
    target = read_map(map_file).target
    if target is None:
        raise InputError(
            f"{map_file} does not say for which head model it is; make one with imavatar-data fit-map"
        )
    retarget = find_retarget(track.edition, target, (), map_file=map_file)
    expression, pose = zip(*map(retarget, track.expression, track.pose), strict=True)
    nobody = np.zeros(0, dtype=np.float32)
    return replace(
        track, expression=np.stack(expression), pose=np.stack(pose), edition=target, shape=nobody
    )
