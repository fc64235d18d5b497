"""Atomic outputs: files and folders written under a temporary name and renamed when complete.

A rename replaces regular files only. A symbolic link stays, and its target is written. A device, a
pipe or an open file of this process (`/dev/stdout`) receives the bytes once the output is complete.
The name `-` is standard output, for text. `ensure_writable` and `ensure_not_input` refuse an output
before long work begins.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from imavatar_deploy.errors import UsageError
from imavatar_deploy.leftovers import REPLACED, locked, prefix, remove_leftovers

BUNDLED_WORDS = ("openhead", "presets", "sample", "talk")
"""Words that stand for bundled data wherever a command takes a path."""

STANDARD_OUTPUT = "-"
"""The name that stands for standard output, for outputs of text."""

MAX_LINKS = 40
"""Largest number of symbolic links that are followed for one file: the limit of Linux."""


def is_standard_output(out: str | Path) -> bool:
    """Return whether `out` is the name `-`."""
    return str(out) == STANDARD_OUTPUT


@dataclass(frozen=True)
class _Destination:
    """The destination of an output."""

    name: str
    """The name as the user wrote it."""
    path: Path
    """The path with all links resolved."""
    descriptor: int | None
    """File descriptor, where the name stands for an open file of this process."""

    @property
    def replaceable(self) -> bool:
        """Whether a rename can put a file there: the path is free or a regular file.

        Raises:
            UsageError: the path is a folder, or cannot be looked up.
        """
        if self.descriptor is not None:
            return False
        try:
            mode = self.path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError as error:
            raise self.write_error(error) from error
        if stat.S_ISDIR(mode):
            message = "is a folder, and a file is to be written there; choose another name"
            raise UsageError(f"{self.name} {message}")
        return stat.S_ISREG(mode)

    def write_through(self, content: Path) -> None:
        """Copy the bytes of a file to the device, pipe or open file.

        Raises:
            UsageError: the system refuses to write there.
        """
        try:
            with content.open("rb") as source, self._open() as device:
                shutil.copyfileobj(source, device)
        except OSError as error:
            if self.descriptor is not None and isinstance(error, BrokenPipeError):
                return  # the reader of this process' output has closed the pipe
            raise self.write_error(error) from error

    def _open(self) -> BinaryIO:
        if self.descriptor is None:
            return os.fdopen(os.open(self.path, os.O_WRONLY), "wb")
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # what was printed before comes first
        return os.fdopen(os.dup(self.descriptor), "wb")

    def write_error(self, error: OSError) -> UsageError:
        """Return the error of a write that the system refused."""
        reason = error.strerror or error
        return UsageError(f"{self.name} cannot be written ({reason}); choose another place")


def refuse_standard_output(out: str | Path) -> None:
    """Refuse the name `-` for an output that is not text.

    Raises:
        UsageError: `out` is `-`.
    """
    if is_standard_output(out):
        raise UsageError(
            "- is standard output, where this output cannot be written; choose a file or folder"
        )


def _destination(out: str | Path) -> _Destination:
    refuse_standard_output(out)
    return _Destination(str(out), Path(os.path.realpath(out)), _descriptor(out))


def _descriptor(out: str | Path) -> int | None:
    """File descriptor that `/dev/stdout`, `/dev/fd/3` or a link to these stands for, or None."""
    own = re.compile(rf"/dev/fd|/proc/{os.getpid()}(/task/\d+)?/fd")
    path = Path(out).absolute()
    for _ in range(MAX_LINKS):
        folder = Path(os.path.realpath(path.parent))
        if own.fullmatch(str(folder)) and path.name.isdecimal():
            return int(path.name)
        path = folder / path.name
        if not path.is_symlink():
            return None
        path = folder / path.readlink()
    return None


@contextmanager
def staging_beside(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target` and remove it when the block ends.

    It is for files that are renamed to their final place once all of them are complete. Parent
    folders that were created for it are removed with it where they stayed empty. Temporary folders
    that killed processes have left for the same target are removed first.

    Raises:
        UsageError: nothing can be written there.
    """
    created: list[Path] = []
    try:
        try:
            created += [folder for folder in target.parents if not folder.exists()]
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(target)
            staging = Path(tempfile.mkdtemp(prefix=prefix(target), dir=target.parent))
        except OSError as error:
            raise UsageError(
                f"{target} cannot be written ({error.strerror}: {error.filename}); "
                "choose a folder you may write to"
            ) from error
        with locked(staging):
            try:
                yield staging
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    finally:
        _remove_empty(created)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, each before its parent, up to the first that cannot be: it is in use."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


@contextmanager
def atomic_file(out: str | Path) -> Iterator[Path]:
    """Yield a temporary path with the suffix of `out`.

    Its content replaces `out` when the block ends without an error.

    Raises:
        UsageError: `out` cannot be written.
    """
    destination = _destination(out)
    name = Path(out).name
    if destination.replaceable:
        with staging_beside(destination.path) as staging:
            yield staging / name
            (staging / name).replace(destination.path)
    else:
        with tempfile.TemporaryDirectory(prefix="imavatar-") as folder:
            partial = Path(folder) / name
            yield partial
            destination.write_through(partial)


def write_text(out: str | Path, text: str) -> None:
    """Write UTF-8 text to `out` atomically, or to standard output where `out` is `-`.

    Raises:
        UsageError: `out` cannot be written.
    """
    if is_standard_output(out):
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    with atomic_file(out) as partial:
        partial.write_text(text, encoding="utf-8")


def move_into_place(finished: Path, out: Path) -> None:
    """Rename a finished file to `out` in the same folder.

    Where `out` is a link, a device or a pipe, the content is copied there instead.

    Raises:
        UsageError: `out` cannot be written.
    """
    if not out.is_symlink() and _destination(out).replaceable:
        finished.replace(out)
        return
    with atomic_file(out) as partial:
        shutil.copyfile(finished, partial)
    finished.unlink()


def ensure_writable(out: str | Path) -> None:
    """Refuse an output that `atomic_file` would refuse, before long work begins.

    Raises:
        UsageError: `out` cannot be written.
    """
    destination = _destination(out)
    if destination.replaceable:
        with staging_beside(destination.path):
            pass


@contextmanager
def atomic_folder(out: str | Path, *, marker: str, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder; it becomes `out` when the block ends without an error.

    Args:
        marker: name of a file that every result of this kind holds. Only a folder that holds it is
            replaced, so that a mistyped path cannot destroy other data.
        overwrite: replace an earlier result.

    Raises:
        UsageError: `out` cannot be written, or exists and may not be replaced.
    """
    refuse_standard_output(out)
    target = Path(os.path.realpath(out))
    _refuse_obstacle(target, marker, overwrite)
    with staging_beside(target) as staging:
        partial = staging / "new"
        old = staging / REPLACED
        partial.mkdir()
        yield partial
        try:
            if target.exists():
                target.rename(old)
            partial.rename(target)
        except OSError as error:
            raise UsageError(
                f"{target} cannot be replaced ({error.strerror}); choose another name"
            ) from error


def ensure_not_input(out: str | Path, *inputs: str | Path | None) -> None:
    """Refuse an output that would replace an input of the same command.

    Args:
        out: a file or folder to be written.
        inputs: files and folders to be read. None, the words of `BUNDLED_WORDS`, and paths that do
            not exist are skipped.

    Raises:
        UsageError: an input is `out` itself, also by another path or a link, or lies in the folder
            `out`.
    """
    target = Path(out)
    if not target.exists():
        return
    for source in inputs:
        if source is None or str(source) in BUNDLED_WORDS or not Path(source).exists():
            continue
        if target.samefile(source):
            raise UsageError(
                f"{target} would be written and is read here; choose another path for the output"
            )
        if target.is_dir() and any(
            target.samefile(parent) for parent in Path(source).resolve().parents
        ):
            raise UsageError(
                f"{target} would be replaced and holds {source}, which is read here; "
                "choose another path for the output"
            )


def _refuse_obstacle(target: Path, marker: str, overwrite: bool) -> None:
    if target.is_dir():
        if not any(target.iterdir()):
            return
        if not (target / marker).is_file():
            raise UsageError(
                f"{target} is a folder with other things in it (no {marker}); choose another name"
            )
        if not overwrite:
            raise UsageError(
                f"{target} is already there; choose another name or pass "
                "overwrite=True (--overwrite)"
            )
    elif target.exists():
        raise UsageError(
            f"{target} is a file, and a folder is to be written there; choose another name"
        )
