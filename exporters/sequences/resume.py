"""The journal of a bake: `bake.json` says what is being baked, and what is there says how far it got.

Every output is written into the work folder and renamed into place when it is whole, so a file that is there is a file
that is done: after a kill at any moment, `--resume` makes what is missing and nothing else. (A power failure is another
matter: nothing is flushed to the disk before it is renamed.)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imavatar_deploy.atomic import refuse_standard_output
from imavatar_deploy.errors import InputError, UsageError

from .staging import Staging

JOURNAL = "bake.json"
UNBORN = f"{JOURNAL}.partial"
"""What a kill in the very first moment may leave behind."""

WORK = "work"
"""The folder of what is half-written, and of frames that wait to be put into one file."""


def open_journal(
    out: Path, settings: Mapping[str, Any], *, resume: bool, overwrite: bool
) -> Staging:
    """Begin a bake in `out`, or go on with the one that is there; gives its work folder.

    Args:
        settings: all that the result depends on, ready for JSON.
        resume: go on with a bake of the same settings; where there is none, begin.
        overwrite: throw away the bake that is there.

    Raises:
        UsageError: `out` cannot be written, holds other things, or a bake with which neither flag can go on.
        InputError: the journal that is there cannot be read.
    """
    refuse_standard_output(out)
    staging = Staging(out / WORK)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        if not (out / JOURNAL).exists():
            _refuse_strangers(out)
        elif overwrite:
            _clear(out)
        elif resume:
            _refuse_others(out, _read(out / JOURNAL), settings)
            staging.sweep()
            return staging
        else:
            raise UsageError(
                f"{out} holds a bake already; pass --resume to go on with it or --overwrite to replace it"
            )
        (out / UNBORN).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        staging.sweep()
        (out / UNBORN).replace(out / JOURNAL)
    return staging


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Turn what the system refuses into one sentence.

    Raises:
        UsageError: instead of OSError.
    """
    try:
        yield
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise UsageError(
            f"{out} cannot be written ({error.strerror or error}{where}); when there is room and permission, "
            "go on with --resume, or choose another --out"
        ) from error


def _refuse_strangers(out: Path) -> None:
    strangers = sorted(path.name for path in out.iterdir() if path.name not in (UNBORN, WORK))
    strangers += [f"{WORK}/{path.name}" for path in (out / WORK).glob("*")]
    if strangers:
        raise UsageError(
            f"{out} holds other things ({strangers[0]}) and no {JOURNAL}; choose another --out"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path} is not the journal of a bake ({error}); pass --overwrite to start anew"
        ) from error


def _refuse_others(out: Path, begun: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    differing = [
        f"{name} {_short(begun.get(name))} there, {_short(settings.get(name))} now"
        for name in sorted({*begun, *settings})
        if begun.get(name) != settings.get(name)
    ]
    if differing:
        raise UsageError(
            f"{out} was begun with other settings: {'; '.join(differing)}; give the same to go on, another --out, "
            "or --overwrite"
        )


def _short(value: Any) -> str:
    """As the sentence shows it; a hash by its beginning."""
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{text[:12]}…" if len(text) == 64 else text


def _clear(out: Path) -> None:
    """Take the outputs away but not the journal: what a kill leaves here is still the old bake, and can go on."""
    for path in out.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != JOURNAL:
            path.unlink()
