"""The protocol by which long work reports its progress, and an implementation that shows nothing.

A library function takes `progress: Progress = silent`; a command passes `console.progress`, a bar
on the terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
