"""Outlet: takes every picture at once and writes it when its sink is ready, so that no sink holds up the head."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType

from ..sinks import Sink, Stream, find_sink
from ..sinks.sink import Bytes, SinkFormat


class SinkThread:
    """One sink and its thread, with room for one picture between them: the newest wins. Use it in a `with` block.

    A sink that people watch is given each newest picture once. Any other runs at a constant rate, so it is given as
    many pictures as ticks went by: one that took a tick's place is written again for the ticks before it that were left
    out or replaced, and a file lasts as long as the run did. However far a sink falls behind, no more than two pictures
    are kept. A sink of the main thread is written by `offer` itself.

    A run that nobody watches and that waits for its sinks needs no outlet.
    """

    def __init__(self, row: SinkFormat, sink: Sink) -> None:
        self.sink = sink
        self.counts: Counter[str] = Counter(written=0, repeated=0, skipped=0)
        """Pictures `written`, how often one was `repeated`, and pictures `skipped` because a newer one came."""
        self._watched = row.watched
        self._next: int | None = None
        """The tick that the next picture written is for; the first that was offered, whether or not it was written."""
        self._slot: tuple[int, Bytes] | None = None
        self._closing = self._dropped = False
        self._trouble: Exception | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        if not row.main_thread:
            self._thread = threading.Thread(
                target=self._work, name=f"outlet {row.name}", daemon=True
            )
            self._thread.start()

    def __enter__(self) -> SinkThread:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._end(drain=False)

    def offer(self, tick: int, image: Bytes) -> None:
        """Hand over the picture `[H, W, 4]` of a tick; ticks only grow. The picture is not copied.

        Raises:
            Exception: what an earlier write failed with.
        """
        if self._next is None:
            self._next = tick
        if self._thread is None:
            self._write(tick, image)
            return
        with self._changed:
            self._raise_trouble()
            self.counts["skipped"] += self._slot is not None
            self._slot = tick, image
            self._changed.notify()

    def close(self) -> None:
        """Wait until the last picture is written, and end the thread.

        Raises:
            Exception: what a write failed with.
        """
        self._end(drain=True)
        self._raise_trouble()

    def _end(self, *, drain: bool) -> None:
        with self._changed:
            self._closing = True
            self._dropped = not drain
            if self._dropped:
                self._slot = None
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _raise_trouble(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def _work(self) -> None:
        """The thread: write what is in the slot until there is nothing more to come."""
        try:
            while (taken := self._take()) is not None:
                self._write(*taken)
        except Exception as error:
            with self._changed:
                self._trouble = error
                self._slot = None

    def _take(self) -> tuple[int, Bytes] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._slot is not None or self._closing)
            taken, self._slot = self._slot, None
            return taken

    def _write(self, tick: int, image: Bytes) -> None:
        due = 1 if self._watched or self._next is None else tick + 1 - self._next
        self._next = tick + 1
        for repeat in range(due):
            if self._dropped:
                return
            self.sink.write(image)
            with self._changed:
                self.counts["repeated" if repeat else "written"] += 1


@contextmanager
def open_outlets(targets: Sequence[str], stream: Stream) -> Iterator[list[SinkThread]]:
    """Open `--sink` arguments, each behind an outlet.

    At the end of the block every picture is written before the first output appears, and after an error none appears.

    Raises:
        UsageError: no such sink, or it cannot be written.
        MissingDependencyError: a sink needs a package or device that is not there.
    """
    with ExitStack() as stack:
        outlets = []
        for target in targets:
            row = find_sink(target)
            outlets.append(
                stack.enter_context(SinkThread(row, stack.enter_context(row.open(target, stream))))
            )
        yield outlets
        for outlet in outlets:
            outlet.close()
