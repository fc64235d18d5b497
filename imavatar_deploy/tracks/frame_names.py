"""Names of frames: their numbers, the gaps between them, and one person or camera of several.

Trackers number files and folders by frame, and some by frame and person (EMOCA's `000001_000`) or
by time step and camera (`00000_01`). In such names one number is that of the frame:

    no number varies, or the names have none      a sequence in the order of the names
    one number varies                             that is the frame
    several vary, and every frame occurs once     the frame is the first of them
    several vary, and frames occur again          the others tell people or cameras apart
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

NUMBER = re.compile(r"\d{1,18}")

SHOWN_CHARACTERS = 40
"""Largest number of characters of a name in a note."""


def frames_of_one(names: Sequence[str]) -> list[int]:
    """Return the indices of the names of one person or camera: all, unless frames occur again."""
    rows = _numbers(names)
    column = _frame_column(names, rows)
    if column is None or len({row[column] for row in rows}) == len(rows):
        return list(range(len(names)))
    groups = [(*row[:column], *row[column + 1 :]) for row in rows]
    first = min(groups)
    return [index for index, group in enumerate(groups) if group == first]


def group_note(names: Sequence[str]) -> list[str]:
    """Return a note on the people or cameras that `frames_of_one` leaves out."""
    kept = frames_of_one(names)
    if len(kept) == len(names):
        return []
    return [
        "frames have several people or cameras: only those numbered as in "
        f"{names[kept[0]]:.{SHOWN_CHARACTERS}} are read, {len(kept)} of {len(names)}"
    ]


def gap_note(names: Sequence[str]) -> list[str]:
    """Return a note on gaps in the numbers of the frames."""
    rows = _numbers(names)
    column = _frame_column(names, rows)
    if column is None:
        return []
    numbers = [row[column] for row in rows]
    jumps = [(before, after) for before, after in pairwise(numbers) if after > before + 1]
    # Every second or fifth frame of a video is no gap.
    if not jumps or len(jumps) == len(numbers) - 1:
        return []
    missing = sum(after - before - 1 for before, after in jumps)
    first, last = jumps[0]
    return [
        f"{missing} frames are missing, the first after {first} (then comes {last}); "
        "the motion jumps there"
    ]


def _numbers(names: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the numbers in each name; none unless all names have equally many."""
    rows = [tuple(map(int, NUMBER.findall(name))) for name in names]
    return rows if rows and all(len(row) == len(rows[0]) for row in rows) else []


def _frame_column(names: Sequence[str], rows: Sequence[tuple[int, ...]]) -> int | None:
    """Return which of the numbers in a name is that of the frame; None where none varies.

    It is the first that varies, unless a later one takes more values and is written with at least
    as many digits, as in `clip1_0001`.
    """
    values = [len({*column}) for column in zip(*rows, strict=True)]
    varying = [index for index, count in enumerate(values) if count > 1]
    if not varying:
        return None
    widths = list(map(len, NUMBER.findall(names[0])))
    frame = varying[0]
    for index in varying[1:]:
        if values[index] > values[frame] and widths[index] >= widths[frame]:
            frame = index
    return frame
