"""A track file of any known format, or the word `talk`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from imavatar_deploy.errors import UsageError
from imavatar_deploy.tracks import read_track

from .source import Selection, Source, SourceFormat

EARLY = 1e-6
"""Fraction of a frame: rounding must not make a frame late by one."""


@contextmanager
def _open(target: str, selection: Selection) -> Iterator[Source]:
    track = read_track(target).select(selection.frames)
    fps = track.fps if selection.fps is None else selection.fps
    if not 0 < fps <= 1000:
        raise UsageError(f"--fps must be more than 0 and at most 1000, got {fps}")
    shown = _shown_frames(len(track), track.fps, fps)
    yield Source((track.frame(index) for index in shown), fps, track.edition, len(shown))


def _shown_frames(count: int, recorded: float, played: float) -> list[int]:
    """Which frame to show at each tick of another rate: the newest that has begun, so the motion keeps its speed."""
    ticks = max(1, round(count * played / recorded))
    return [min(int(tick * recorded / played + EARLY), count - 1) for tick in range(ticks)]


FORMAT = SourceFormat(
    name="track",
    pattern="track.json",
    description="a track file (flame_params.json), or the bundled 'talk'",
    matches=lambda target: "://" not in target,
    open=_open,
)
