"""Read and write tracks in any format of the table `TRACK_FORMATS`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.errors import InputError, UsageError, excerpt, unknown_name

from . import arkit_recordings, cap4d, flame_params, optimisation_trackers, regressors, vhap
from .array_files import READERS, content_of, files_of, folders_of, left_out_note, names_of
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
        regressors.FLAME_HEAD_TRACKER,
        arkit_recordings.LIVE_LINK,
        arkit_recordings.ARKIT_JSON,
    )
}
"""Formats by name, in the order in which they are tried."""

SEARCHED_FOLDERS = 8
"""Largest number of subfolders in which a track is looked for, so that a message can name it."""

BUNDLED = {"talk": Path(__file__).resolve().parents[1] / "assets" / "talk.json"}
"""Bundled tracks by the words that name them."""

DATASET = "flame_params.json"
"""File of the track in a folder of the published dataset or of `imavatar-data synth`."""


def read_track(source: str | Path, *, edition: str | None = None) -> FlameTrack:
    """Read a track.

    Args:
        source: a file or folder of any known format, or the word `talk` (the bundled track). It is
            read as data: nothing in it is run.
        edition: head-model edition of the codes; replaces that of the file unless None.

    Returns:
        The motion: expressions `[T, 50]`, poses `[T, 15]` (axis-angle, radians), cameras where the
        file has them, and `notes` on what could not be kept.

    Raises:
        InputError: the file does not exist, is unreadable, broken, or of no known format.
        UsageError: `edition` is unknown.

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
            f"there is no track file {str(path)!r}: give a file or folder that exists, "
            f"or the word {words}"
        )
    track = _read(path)
    if edition in (None, track.edition):
        return track
    notes = track.notes
    if track.edition:
        notes += (f"the edition of the codes, {track.edition}, is replaced by {edition}",)
    return replace(track, edition=edition, notes=notes)


def _read(path: Path) -> FlameTrack:
    try:
        track = _first_match(path)
    except InputError as error:
        raise InputError(with_path(path, " ".join(str(error).split()))) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    if track is None:
        raise InputError(
            f"{path} is of no known track format: expected {_known()}; {_description(path)}"
        )
    return track


def _first_match(path: Path) -> FlameTrack | None:
    """Read a path in the first format that it is of; None if there is none."""
    for row, place in _candidates(path):
        with suppress(ForeignContentError), np.errstate(all="ignore"):
            track = row.read(place)  # values that overflow are refused as infinite
            notes = left_out_note(place, row.folder_suffixes) if row.folders is not None else []
            return replace(track, notes=(*track.notes, *notes)) if notes else track
    return None


def _description(path: Path) -> str:
    """Return what a file or folder of no known format holds."""
    if path.is_file():
        return _description_of_file(path)
    subfolders = folders_of(path)
    for folder in subfolders[:SEARCHED_FOLDERS]:
        with suppress(InputError, OSError):
            if _first_match(folder) is not None:
                return f"its folder {excerpt(folder.name)} holds a track: give {folder}"
    suffixes = {file.suffix for file in path.iterdir() if file.is_file() and file.suffix}
    parts = [
        *([f"the folders {names_of(folder.name for folder in subfolders)}"] if subfolders else []),
        *([f"files of type {names_of(suffixes)}"] if suffixes else []),
    ]
    return f"it holds {' and '.join(parts) or 'nothing'}"


def _description_of_file(path: Path) -> str:
    if path.suffix.lower() not in READERS:
        return f"its suffix is {excerpt(path.suffix)!r}"
    try:
        content = content_of(path)
    except (InputError, OSError):
        return "it cannot be opened"
    if isinstance(content, list) and content and isinstance(content[0], Mapping):
        return f"it holds a list of {len(content)}, each with {names_of(content[0])}"
    if not isinstance(content, Mapping):
        return f"it holds a {type(content).__name__}"
    return f"it holds {names_of(content)}"


def _candidates(path: Path) -> Iterator[tuple[TrackFormat, Path]]:
    """Yield the formats that may read a path, with the file or folder to read."""
    if path.is_file():
        yield from ((row, path) for row in _rows_for(path))
    elif (path / DATASET).is_file():
        yield TRACK_FORMATS[flame_params.FORMAT.name], path / DATASET
    else:
        for row in TRACK_FORMATS.values():
            if row.folders is None:
                continue
            subfolders = [path / name for name in row.folders if (path / name).is_dir()]
            for folder in subfolders or [path]:
                if files_of(folder, row.folder_suffixes) or folders_of(folder):
                    yield row, folder


def with_path(path: Path, message: str) -> str:
    """The message with the path before it, or in place of the file's name that it begins with."""
    if message.startswith(f"{path.name} "):
        return f"{path}{message.removeprefix(path.name)}"
    return f"{path}: {message}"


def files_read(source: str | Path) -> list[Path]:
    """Return the files that `read_track` may read for a source; none if it does not exist."""
    path = BUNDLED.get(str(source), Path(source))
    if not path.exists():
        return []
    return [
        file
        for row, place in _candidates(path)
        for file in ([place] if place.is_file() else files_of(place, row.folder_suffixes))
    ]


def unread_names(source: str | Path) -> list[str]:
    """Return the names of the entries that `read_track` ignores, such as `bbox`.

    Raises:
        InputError: the file is broken.
    """
    for row, place in _candidates(BUNDLED.get(str(source), Path(source))):
        if row.unread:
            with suppress(ForeignContentError):
                return sorted(row.unread(place))
    return []


def write_track(track: FlameTrack, path: str | Path) -> None:
    """Write a track atomically, in the format of the suffix.

    Args:
        track: the motion.
        path: the file, such as `me.json` (the published `flame_params.json`) or `me.npz` (VHAP).

    Raises:
        UsageError: no format has this suffix, the format cannot hold this track, or the path cannot
            be written.

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
