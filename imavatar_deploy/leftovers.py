"""Leftovers: temporary folders of `atomic` whose process was killed before it could remove them.

A process holds a file lock in its temporary folder; the system releases it when the process ends,
however it ends. A folder whose lock is free is therefore a leftover. Without file locks, as on
Windows and on some network drives, leftovers stay.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LOCKS: Any = None
"""The module `fcntl`; None on Windows, which has none."""

with suppress(ImportError):
    import fcntl

    LOCKS = fcntl

LOCK_FILE = ".imavatar-lock"
"""File in a temporary folder; it gets this name once it is locked."""

REPLACED = "old"
"""Name in a temporary folder of an earlier result while it is replaced."""


def prefix(target: Path) -> str:
    """Return the beginning of the names of temporary folders for `target`, which lie beside it."""
    return f".{target.name}.partial-"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a temporary folder of this process until the block ends."""
    descriptor: int | None = None
    with suppress(OSError):
        descriptor = _lock(folder)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(folder: Path) -> int | None:
    if LOCKS is None:
        return None
    new = folder / f"{LOCK_FILE}-new"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        LOCKS.flock(descriptor, LOCKS.LOCK_EX | LOCKS.LOCK_NB)
        new.rename(folder / LOCK_FILE)  # locked before another process can find it
    except OSError:
        os.close(descriptor)
        new.unlink(missing_ok=True)
        raise
    return descriptor


def remove_leftovers(target: Path) -> None:
    """Remove the leftovers of `target`.

    A folder stays if its process lives or cannot be known, or if it holds an earlier result and
    `target` is absent: the process was killed while it replaced one by the other.
    """
    with suppress(OSError):
        for folder in _temporary_folders(target):
            if (folder / REPLACED).exists() and not target.exists():
                continue
            _remove_unlocked(folder)


def _temporary_folders(target: Path) -> list[Path]:
    name = re.compile(rf"{re.escape(prefix(target))}[a-z0-9_]+")  # the names of `tempfile`
    with os.scandir(target.parent) as entries:
        return [
            Path(entry.path)
            for entry in entries
            if name.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        ]


def _remove_unlocked(folder: Path) -> None:
    if LOCKS is None:
        return
    with suppress(OSError):
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            LOCKS.flock(descriptor, LOCKS.LOCK_EX | LOCKS.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
