"""The table of track formats: `read_track` and `write_track` look up the row; adding a format is adding a row."""

from __future__ import annotations

from pathlib import Path

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.tracks import flame_params
from imavatar_deploy.tracks.format import ForeignContentError, TrackFormat
from imavatar_deploy.tracks.track import FlameTrack

TRACK_FORMATS: dict[str, TrackFormat] = {row.name: row for row in (flame_params.FORMAT,)}
"""Every known format by name."""

BUNDLED = {"talk": Path(__file__).resolve().parents[1] / "assets" / "talk.json"}
"""Tracks that come with the package, by the word that names them."""


def read_track(source: str | Path) -> FlameTrack:
    """Read a motion from a file of any known format, or the word `talk` (the bundled track).

    Raises:
        InputError: the file is absent, unreadable, broken, or of no known format.
    """
    path = BUNDLED.get(str(source), Path(source))
    if not path.is_file():
        words = ", ".join(repr(word) for word in BUNDLED)
        raise InputError(f"there is no track file {str(path)!r}: give a file that exists, or the word {words}")
    for row in _rows_for(path):
        try:
            return row.read(path)
        except ForeignContentError:
            continue
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    raise InputError(f"{path} is of no known track format: expected {_known()}")


def write_track(track: FlameTrack, path: str | Path) -> None:
    """Write a motion in the format its suffix names, complete or not at all (temporary name, then rename).

    Raises:
        UsageError: no known format has this suffix, the format cannot hold this track, or the path cannot be written.
    """
    target = Path(path)
    writers = [row.write for row in _rows_for(target) if row.write]
    if not writers:
        raise UsageError(f"no track can be written as {target.name!r}: expected {_known()}")
    try:
        with atomic_file(target) as partial:
            writers[0](track, partial)
    except OSError as error:
        raise UsageError(f"{target} cannot be written ({error.strerror or error}); choose another path") from error


def _rows_for(path: Path) -> list[TrackFormat]:
    return [row for row in TRACK_FORMATS.values() if path.suffix.lower() in row.suffixes]


def _known() -> str:
    return ", ".join(f"{row.name} ({' '.join(row.suffixes)}: {row.description})" for row in TRACK_FORMATS.values())
