"""SinkThread: writes images to a sink from a thread of its own, without delaying the loop."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType

from ..sinks import Sink, Stream, find_sink
from ..sinks.sink import Image, SinkFormat


class SinkThread:
    """One sink and its thread, with a slot for one image between them. Use it in a `with` block.

    A newer image replaces the one in the slot. A sink that people watch writes each image once. Any
    other runs at a constant rate: an image is written again for each tick before it that was
    skipped or replaced, so that a file lasts as long as the run did. However far a sink falls
    behind, no more than two images are in memory. A sink of the main thread is written by `offer`
    itself.

    A run that is not watched and that waits for its sinks needs no such thread.

    States of the thread:

        waiting    the slot is empty
        writing    the image has left the slot; `offer` may fill it again
        closing    no image will follow: write what is in the slot, or drop it after an error; end
        failed     a write raised: the error is raised again by the next `offer` or by `close`
    """

    def __init__(self, row: SinkFormat, sink: Sink) -> None:
        self.sink = sink
        self.counts: Counter[str] = Counter(written=0, repeated=0, skipped=0)
        """Images `written`, `repeated` writes of one, and images `skipped` for a newer one."""
        self._watched = row.watched
        self._next: int | None = None
        """The tick that the next image stands for; at first that of the first offer."""
        self._slot: tuple[int, Image] | None = None
        self._closing = self._dropped = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        if not row.main_thread:
            self._thread = threading.Thread(target=self._work, name=f"sink {row.name}", daemon=True)
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

    def offer(self, tick: int, image: Image) -> None:
        """Pass on the image `[H, W, 4]` of a tick; ticks only grow. The image is not copied.

        Raises:
            Exception: the error of an earlier write.
        """
        if self._next is None:
            self._next = tick
        if self._thread is None:
            self._write(tick, image)
            return
        with self._changed:
            self._raise_error()
            self.counts["skipped"] += self._slot is not None
            self._slot = tick, image
            self._changed.notify()

    def close(self) -> None:
        """Wait until the last image is written, and end the thread.

        Raises:
            Exception: the error of a write.
        """
        self._end(drain=True)
        self._raise_error()

    def _end(self, *, drain: bool) -> None:
        with self._changed:
            self._closing = True
            self._dropped = not drain
            if self._dropped:
                self._slot = None
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        """The thread: write the image in the slot until no more will come."""
        try:
            while (item := self._take()) is not None:
                self._write(*item)
        except Exception as error:
            with self._changed:
                self._error = error
                self._slot = None

    def _take(self) -> tuple[int, Image] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._slot is not None or self._closing)
            item, self._slot = self._slot, None
            return item

    def _write(self, tick: int, image: Image) -> None:
        due = 1 if self._watched or self._next is None else tick + 1 - self._next
        self._next = tick + 1
        for repeat in range(due):
            if self._dropped:
                return
            self.sink.write(image)
            with self._changed:
                self.counts["repeated" if repeat else "written"] += 1


@contextmanager
def open_sink_threads(targets: Sequence[str], stream: Stream) -> Iterator[list[SinkThread]]:
    """Open `--sink` arguments, each behind a thread.

    At the end of the block every image is written before the first output appears; after an error
    none appears.

    Raises:
        UsageError: no such sink, or it cannot be written.
        MissingDependencyError: a sink needs a package or device that is not there.
    """
    with ExitStack() as stack:
        threads = []
        for target in targets:
            row = find_sink(target)
            sink = stack.enter_context(row.open(target, stream))
            threads.append(stack.enter_context(SinkThread(row, sink)))
        yield threads
        for thread in threads:
            thread.close()
