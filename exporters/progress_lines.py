"""Progress as lines of text, for logs and pipes, where a bar cannot be drawn."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from imavatar_deploy import console
from imavatar_deploy.progress import Progress

Say = Callable[[str], None]
"""Takes a line to be shown."""

PERIOD = 20.0
"""Seconds between two lines about the same piece of work."""


def quiet(line: str) -> None:
    """A `Say` that shows nothing."""


def line_at(seconds: float, text: str) -> str:
    """A line that starts with the time since the beginning."""
    return f"{seconds:6.1f} s  {text}"


class ProgressLines:
    """A `Progress` that says every `PERIOD` how far a piece of work is; short work says nothing.

    Args:
        clock: seconds, which only ever grow.
    """

    def __init__(self, say: Say, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._say, self._clock = say, clock
        self._start = clock()

    @contextmanager
    def __call__(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Report one piece of work."""
        done, due = 0, self._clock() + PERIOD

        def advance(steps: int) -> None:
            nonlocal done, due
            done += steps
            if (now := self._clock()) >= due:
                of = f"{done:,}" if total is None else f"{done:,} of {total:,}"
                self._say(line_at(now - self._start, f"  {description}: {of}"))
                due = now + PERIOD

        yield advance


def shown_progress() -> tuple[Progress, Say]:
    """What commands show of long work: bars on a terminal, lines elsewhere, both on stderr."""
    if sys.stderr.isatty():
        return console.progress, quiet
    return ProgressLines(_to_stderr), _to_stderr


def _to_stderr(line: str) -> None:
    click.echo(line, err=True)
