"""The journal of a bake, `bake.json`: its settings, so that an interrupted bake can be resumed.

Every output is written to the work folder and renamed into place when it is complete, so an
existing file is a complete file. After a kill at any moment, `--resume` writes the missing files
and no others. A power failure may leave incomplete files: nothing is flushed to the disk before it
is renamed.
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
PARTIAL_JOURNAL = f"{JOURNAL}.partial"
"""The journal before it is complete; a kill may leave it behind."""

WORK = "work"
"""The folder of incomplete files, and of frames to be assembled into one file."""


def open_journal(
    out: Path, settings: Mapping[str, Any], *, resume: bool, overwrite: bool
) -> Staging:
    """Begin a bake in `out`, or continue an existing one.

    Args:
        out: the output folder.
        settings: all that the result depends on, as JSON values.
        resume: continue a bake with the same settings; without one, begin.
        overwrite: remove an existing bake.

    Returns:
        The work folder.

    Raises:
        UsageError: `out` cannot be written, holds other files, or holds a bake that neither flag
            allows to continue or replace.
        InputError: the existing journal cannot be read.
    """
    refuse_standard_output(out)
    staging = Staging(out / WORK)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        if not (out / JOURNAL).exists():
            _refuse_other_files(out)
        elif overwrite:
            _clear(out)
        elif resume:
            _refuse_other_settings(out, _read(out / JOURNAL), settings)
            staging.sweep()
            return staging
        else:
            raise UsageError(
                f"{out} holds a bake already; "
                "pass resume=True (--resume) to continue it or overwrite=True (--overwrite) to "
                "replace it"
            )
        text = json.dumps(settings, indent=2) + "\n"
        (out / PARTIAL_JOURNAL).write_text(text, encoding="utf-8")
        staging.sweep()
        (out / PARTIAL_JOURNAL).replace(out / JOURNAL)
    return staging


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Convert errors of writing to `out`.

    Raises:
        UsageError: instead of OSError.
    """
    try:
        yield
    except OSError as error:
        name = f": {error.filename}" if error.filename else ""
        raise UsageError(
            f"{out} cannot be written ({error.strerror or error}{name}); free space or grant "
            "permission and continue with resume=True (--resume), or choose another folder"
        ) from error


def _refuse_other_files(out: Path) -> None:
    own = (PARTIAL_JOURNAL, WORK)
    unlisted = sorted(path.name for path in out.iterdir() if path.name not in own)
    unlisted += [f"{WORK}/{path.name}" for path in (out / WORK).glob("*")]
    if unlisted:
        raise UsageError(
            f"{out} holds other files ({unlisted[0]}) and no {JOURNAL}; choose another folder"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path} is not the journal of a bake ({error}); pass overwrite=True "
            "(--overwrite) to start again"
        ) from error


def _refuse_other_settings(
    out: Path, earlier: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    differences = [
        f"{name} {_short(earlier.get(name))} there, {_short(settings.get(name))} now"
        for name in sorted({*earlier, *settings})
        if earlier.get(name) != settings.get(name)
    ]
    if differences:
        raise UsageError(
            f"{out} holds a bake with other settings: {'; '.join(differences)}; "
            "pass the same settings, another folder, or overwrite=True (--overwrite)"
        )


def _short(value: Any) -> str:
    """Text of a setting; a hash is shortened."""
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{text[:12]}…" if len(text) == 64 else text


def _clear(out: Path) -> None:
    """Remove the outputs but not the journal, so that a kill leaves the old bake resumable."""
    for path in out.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != JOURNAL:
            path.unlink()
