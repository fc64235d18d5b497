"""The table of track formats: `read_track` and `write_track` look up the row; adding a format is adding a row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.errors import InputError, UsageError, unknown_name

from . import cap4d, flame_params, optimisation_trackers, regressors, vhap
from .array_files import files_of, folders_of
from .format import ForeignContentError, TrackFormat
from .track import FlameTrack

TRACK_FORMATS: dict[str, TrackFormat] = {
    row.name: row
    for row in (
        flame_params.FORMAT,
        vhap.FORMAT,
        optimisation_trackers.METRICAL_TRACKER,
        optimisation_trackers.PIXEL3DMM,
        cap4d.FORMAT,
        regressors.DECA,
        regressors.EMOCA,
        regressors.SMIRK,
    )
}
"""Every known format by name."""

BUNDLED = {"talk": Path(__file__).resolve().parents[1] / "assets" / "talk.json"}
"""Tracks that come with the package, by the word that names them."""

DATASET = "flame_params.json"
"""The track of a folder of the published dataset, or of `imavatar-data synth`."""


def read_track(source: str | Path, *, edition: str | None = None) -> FlameTrack:
    """Read a motion from a file or folder of any known format, or the word `talk` (the bundled track).

    Args:
        source: the file or folder. Nothing in it is run.
        edition: the head model of its codes, where the file does not say, or says it wrongly; None believes it.

    Returns:
        The motion: expressions `[T, 50]`, poses `[T, 15]` (axis-angle, radians), cameras where the
        file has them, and `notes` on what could not be kept.

    Raises:
        InputError: the file is absent, unreadable, broken, or of no known format.
        UsageError: there is no such edition.

    Example:
        >>> track = read_track("talk")
        >>> track.expression.shape, track.fps
        ((250, 50), 25.0)
    """
    if edition is not None and edition not in EDITIONS:
        raise unknown_name("head-model edition", edition, EDITIONS)
    path = BUNDLED.get(str(source), Path(source))
    if not path.is_file() and not path.is_dir():
        words = ", ".join(repr(word) for word in BUNDLED)
        raise InputError(
            f"there is no track file {str(path)!r}: give a file or folder that exists, or the word {words}"
        )
    track = _read(path)
    if edition in (None, track.edition):
        return track
    told = f"codes of {track.edition}, by the file or its format, are taken for {edition}, as was asked"
    return replace(track, edition=edition, notes=(*track.notes, *([told] if track.edition else [])))


def _read(path: Path) -> FlameTrack:
    try:
        for row, place in _candidates(path):
            try:
                with np.errstate(all="ignore"):  # what overflows is refused as infinite
                    return row.read(place)
            except ForeignContentError:
                continue
    except InputError as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    raise InputError(f"{path} is of no known track format: expected {_known()}")


def _candidates(path: Path) -> Iterator[tuple[TrackFormat, Path]]:
    """The rows that may read a file or folder, and where they find what they read."""
    if path.is_file():
        yield from ((row, path) for row in _rows_for(path))
    elif (path / DATASET).is_file():
        yield TRACK_FORMATS[flame_params.FORMAT.name], path / DATASET
    else:
        for row in TRACK_FORMATS.values():
            for place in [path / name for name in row.folders or () if (path / name).is_dir()] or [
                path
            ]:
                if row.folders is not None and (files_of(place, row.suffixes) or folders_of(place)):
                    yield row, place


def files_read(source: str | Path) -> list[Path]:
    """The files that `read_track` may take a motion from; none where nothing is."""
    path = BUNDLED.get(str(source), Path(source))
    if not path.exists():
        return []
    return [
        file
        for row, place in _candidates(path)
        for file in ([place] if place.is_file() else files_of(place, row.suffixes))
    ]


def unread_names(source: str | Path) -> list[str]:
    """Names of what a file or folder holds and the track of `read_track` does not, such as `bbox`.

    Raises:
        InputError: the file is broken.
    """
    for row, place in _candidates(BUNDLED.get(str(source), Path(source))):
        if row.unread:
            with suppress(ForeignContentError):
                return sorted(row.unread(place))
    return []


def write_track(track: FlameTrack, path: str | Path) -> None:
    """Write a motion in the format its suffix names, complete or not at all (temporary name, then rename).

    Args:
        track: the motion.
        path: the file, such as `me.json` (the published `flame_params.json`) or `me.npz` (VHAP).

    Raises:
        UsageError: no known format has this suffix, the format cannot hold this track, or the path cannot be written.

    Example:
        >>> write_track(read_track("talk").select(slice(0, 50)), "start.json")
    """
    target = Path(path)
    writers = [row.write for row in _rows_for(target) if row.write]
    if not writers:
        known = ", ".join(
            f"{row.name} ({' '.join(row.suffixes)})" for row in TRACK_FORMATS.values() if row.write
        )
        raise UsageError(f"no track can be written as {target.name!r}: expected {known}")
    try:
        with atomic_file(target) as partial:
            writers[0](track, partial)
    except OSError as error:
        raise UsageError(
            f"{target} cannot be written ({error.strerror or error}); choose another path"
        ) from error


def _rows_for(path: Path) -> list[TrackFormat]:
    return [row for row in TRACK_FORMATS.values() if path.suffix.lower() in row.suffixes]


def _known() -> str:
    return ", ".join(
        f"{row.name} ({' '.join(row.suffixes)}: {row.description})"
        for row in TRACK_FORMATS.values()
    )
