"""Outputs that appear whole or not at all: write to a temporary name beside the target, rename when done."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imavatar_deploy.errors import UsageError

BUNDLED_WORDS = ("openhead", "presets", "sample", "talk")
"""Words that name what comes with the package, wherever a command takes a path."""


@contextmanager
def staging_beside(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`, for what is to be renamed when all of it is done; then remove it.

    Raises:
        UsageError: nothing can be written there.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    except OSError as error:
        raise UsageError(
            f"{target} cannot be written ({error.strerror}: {error.filename}); choose a folder you may write to"
        ) from error
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def atomic_file(out: str | Path) -> Iterator[Path]:
    """Yield a temporary path with the suffix of `out`; it becomes `out` when the block ends without an error.

    Raises:
        UsageError: `out` cannot be written.
    """
    target = Path(out)
    if target.is_dir():
        raise UsageError(f"{target} is a folder, and a file is to be written there; choose another name")
    with staging_beside(target) as staging:
        partial = staging / target.name
        yield partial
        partial.replace(target)


@contextmanager
def atomic_folder(out: str | Path, *, marker: str, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder; it becomes `out` when the block ends without an error.

    Args:
        marker: a file every result of this kind holds. Only a folder that holds it is ever replaced, so that a mistyped
            path cannot cost anything else.
        overwrite: replace an earlier result.

    Raises:
        UsageError: `out` cannot be written, or is in the way.
    """
    target = Path(out)
    _refuse_obstacle(target, marker, overwrite)
    with staging_beside(target) as staging:
        partial, old = staging / "new", staging / "old"
        partial.mkdir()
        yield partial
        if target.exists():
            target.rename(old)
        partial.rename(target)


def ensure_not_input(out: str | Path, *inputs: str | Path | None) -> None:
    """Refuse an output that would replace what the same command reads.

    Args:
        out: a file or folder to be written.
        inputs: files and folders to be read. None, words for what is bundled, and paths where
            nothing is are skipped.

    Raises:
        UsageError: an input is `out` itself, by whatever path or link, or lies in the folder `out`.
    """
    target = Path(out)
    if not target.exists():
        return
    for source in inputs:
        if source is None or str(source) in BUNDLED_WORDS or not Path(source).exists():
            continue
        if target.samefile(source):
            raise UsageError(f"{target} would be written and is read here; choose another path for the output")
        if target.is_dir() and any(target.samefile(parent) for parent in Path(source).resolve().parents):
            raise UsageError(
                f"{target} would be replaced and holds {source}, which is read here; choose another path for the output"
            )


def _refuse_obstacle(target: Path, marker: str, overwrite: bool) -> None:
    if target.is_dir():
        if not any(target.iterdir()):
            return
        if not (target / marker).is_file():
            raise UsageError(f"{target} is a folder with other things in it (no {marker}); choose another name")
        if not overwrite:
            raise UsageError(f"{target} is already there; choose another name or pass --overwrite")
    elif target.exists():
        raise UsageError(f"{target} is a file, and a folder is to be written there; choose another name")
