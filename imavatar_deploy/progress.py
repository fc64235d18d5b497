"""Progress reports of long work, as a protocol, and messages on stderr.

A library function takes `progress: Progress = silent`. A command passes `cli.command.progress`, a
bar on the terminal, or `ProgressLines`, which writes lines. Nothing here needs click or rich.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol

Advance = Callable[[int], None]
"""Takes the number of steps done since the last call."""

Say = Callable[[str], None]
"""Takes a line of text to be displayed."""

PERIOD = 20.0
"""Seconds without output after which `ProgressLines` writes a line."""


class Progress(Protocol):
    """Reports the progress of one task: `with progress("sampling", 100) as advance:`."""

    def __call__(self, description: str, total: int | None, /) -> AbstractContextManager[Advance]:
        """Return a context manager that yields the function to call after each step.

        Args:
            description: the task, in a word or two.
            total: number of steps; None where it is not known.
        """
        ...


@contextmanager
def silent(description: str, total: int | None) -> Iterator[Advance]:
    """A `Progress` without output."""
    yield lambda steps: None


def quiet(line: str) -> None:
    """A `Say` without output."""


def line_at(seconds: float, text: str) -> str:
    """Return a line that starts with the elapsed time."""
    return f"{seconds:6.1f} s  {text}"


class ProgressLines:
    """A `Progress` that writes a line when there was no output for `PERIOD`.

    Args:
        write: takes the lines.
        clock: monotonic clock, in seconds.
    """

    def __init__(self, write: Say, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._write = write
        self._clock = clock
        self._start = self._last = clock()

    def say(self, line: str) -> None:
        """Write a line."""
        self._last = self._clock()
        self._write(line)

    @contextmanager
    def __call__(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Report the progress of one task."""
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            if (now := self._clock()) >= self._last + PERIOD:
                of = f"{done:,}" if total is None else f"{done:,} of {total:,}"
                self.say(line_at(now - self._start, f"  {description}: {of}"))

        yield advance


def tell(text: str) -> None:
    """Write a line to stderr; failure to write, as on a full disk, is not an error."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def human_bytes(count: int) -> str:
    """Format a number of bytes, as `12.3 MB` or `4.5 kB`."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
