"""The protocol by which long work reports its progress, one that shows nothing, and one of lines.

A library function takes `progress: Progress = silent`; a command passes `console.progress`, a bar
on the terminal.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol

Advance = Callable[[int], None]
"""Takes the number of steps done since the last call."""


class Progress(Protocol):
    """Opens the report of one piece of work: `with progress("sampling", 100) as advance:`."""

    def __call__(self, description: str, total: int | None, /) -> AbstractContextManager[Advance]:
        """A context that yields the function to call after each step.

        Args:
            description: the work, in a word or two.
            total: number of steps; None where it is not known.
        """
        ...


@contextmanager
def silent(description: str, total: int | None) -> Iterator[Advance]:
    """A `Progress` that shows nothing."""
    yield lambda steps: None


Say = Callable[[str], None]
"""Takes a line to be shown."""

PERIOD = 20.0
"""Seconds without a line after which work says how far it is."""


def quiet(line: str) -> None:
    """A `Say` that shows nothing."""


def line_at(seconds: float, text: str) -> str:
    """A line that starts with the time since the beginning."""
    return f"{seconds:6.1f} s  {text}"


class ProgressLines:
    """A `Progress` that says how far a piece of work is when there was no line for `PERIOD`.

    Args:
        write: takes the lines.
        clock: seconds, which only ever grow.
    """

    def __init__(self, write: Say, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._write, self._clock = write, clock
        self._start = self._last = clock()

    def say(self, line: str) -> None:
        """Show a line."""
        self._last = self._clock()
        self._write(line)

    @contextmanager
    def __call__(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Report one piece of work."""
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            if (now := self._clock()) >= self._last + PERIOD:
                of = f"{done:,}" if total is None else f"{done:,} of {total:,}"
                self.say(line_at(now - self._start, f"  {description}: {of}"))

        yield advance


# Messages: lines on stderr, and numbers of bytes as text; without the libraries of the console.


def tell(text: str) -> None:
    """Write a line on stderr; a log that cannot be written, on a full disk, is no error."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def human_bytes(count: int) -> str:
    """`12.3 MB` and the like."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
