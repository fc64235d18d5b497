"""A take as the Live Link Face app exports it: a `.csv` with Timecode, BlendShapeCount and a column for every shape."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES

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
            table = [{str(key).strip().lower(): cell for key, cell in row.items()} for row in csv.DictReader(file)]
        rows = [row for row in table if _has_face(row)]
        _check_columns(table)
        values = np.array([[float(row[name.lower()]) for name in ARKIT_NAMES] for row in rows])
        times = _seconds([row[TIMECODE] for row in rows])
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    except (ValueError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(f"{path} is not a table of ARKit weights as Live Link Face exports it ({error})") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if not len(values) or not np.isfinite(values).all():
        raise InputError(f"{path} holds {'no frame with a face' if not len(values) else 'weights that are not finite'}")
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
    rate = next((rate for rate in RATES if last < rate), RATES[-1]) if timed and np.ptp(parts[:, 2]) else 60
    seconds = parts[:, :3] @ [3600.0, 60.0, 1.0] + parts[:, 3] / rate
    return np.asarray(np.where(seconds < seconds[0], seconds + DAY, seconds) - seconds[0])  # past midnight
