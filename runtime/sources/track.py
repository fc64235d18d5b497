"""Recordings: a track file or folder of any known format, or the word `talk`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.tracks import TRACK_FORMATS, FlameTrack, read_track
from imavatar_deploy.tracks.edit import checked_rate, recorded_at

from .source import Selection, Source, SourceFormat

FRAME_TOLERANCE = 1e-6
"""Tolerance, as a fraction of a frame, so that rounding does not delay a frame by one tick."""

CLIP_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi")
"""Endings of video files, which the source `video:` reads."""

SHOWN_CHARACTERS = 100
"""Largest number of characters of a target in an error message."""


@contextmanager
def _open(target: str, selection: Selection) -> Iterator[Source]:
    if Path(target).suffix.lower() in CLIP_SUFFIXES:
        raise UsageError(
            f"{target[:SHOWN_CHARACTERS]} is a clip and no track of a face: write video:{target} "
            "to track the face in it while it plays"
        )
    try:
        track = read_track(target)
    except OSError as error:
        raise InputError(
            f"{target[:SHOWN_CHARACTERS]} cannot be read ({error.strerror or error}); "
            "give the file or folder of a track"
        ) from error
    yield source_of(track, selection)


def source_of(track: FlameTrack, selection: Selection) -> Source:
    """Return the selected frames of a track as an open recording.

    Raises:
        UsageError: the selection holds no frame, or a rate is out of range.
    """
    track = recorded_at(track, selection.recorded_fps).select(selection.frames)
    fps = checked_rate(track.fps if selection.fps is None else selection.fps)
    indices = _resample(len(track), track.fps, fps)
    order = cycle(indices) if selection.loop else indices
    count = None if selection.loop else len(indices)
    frames = (track.frame(index) for index in order)
    return Source(frames, fps, track.edition, count, track.notes)


def _resample(count: int, fps: float, new_fps: float) -> list[int]:
    """The frame at each tick of another rate: the newest that has begun, which keeps the speed."""
    ticks = max(1, round(count * new_fps / fps))
    return [min(int(tick * fps / new_fps + FRAME_TOLERANCE), count - 1) for tick in range(ticks)]


def _is_path(target: str) -> bool:
    """Whether a target is a path and no address such as `udp://:9000`; `C:` is no scheme."""
    if not re.match(r"[a-z0-9]{2,}:", target):
        return True
    try:
        return Path(target).exists()
    except OSError:  # no file can have such a name
        return False


FORMAT = SourceFormat(
    name="track",
    pattern="FILE or FOLDER",
    description=f"a track of {', '.join(TRACK_FORMATS)}, or the bundled 'talk'",
    matches=_is_path,
    open=_open,
)
