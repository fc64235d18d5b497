"""How long work tells how far it is: the signature of `console.progress`, and a silent one for library use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from imavatar_deploy.console import Advance

Progress = Callable[[str, int | None], AbstractContextManager[Advance]]
"""`with progress("sampling", total) as advance: advance(steps)`."""


@contextmanager
def silent(description: str, total: int | None) -> Iterator[Advance]:
    """A progress that shows nothing."""
    yield lambda steps: None
