"""`null`: draws every frame and keeps none, to see how fast it goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .sink import Bytes, Sink, SinkFormat, Stream


@contextmanager
def _open(target: str, stream: Stream) -> Iterator[Sink]:
    yield Sink(write=_forget, report=str)


def _forget(image: Bytes) -> None:
    """Nothing is kept."""


FORMAT = SinkFormat(
    name="null",
    pattern="null",
    description="draw and keep nothing",
    matches=lambda target: target == "null",
    open=_open,
)
