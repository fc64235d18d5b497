"""Sink threads: a slow sink delays nothing, a file lasts as long as its run, errors surface."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from imavatar_deploy.errors import ImavatarError, UsageError
from imavatar_deploy.runtime import sinks
from imavatar_deploy.runtime.live.sink_thread import SinkThread, open_sink_threads
from imavatar_deploy.runtime.sinks import Sink, Stream
from imavatar_deploy.runtime.sinks.sink import Image, SinkFormat

STREAM = Stream(48, 32, 25.0)


def picture(number: int) -> Image:
    return np.full((32, 48, 4), number, dtype=np.uint8)


class Slow:
    """A sink whose writes block until the test releases them."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.got: list[int] = []
        self.threads: set[threading.Thread] = set()

    def write(self, image: Image) -> None:
        self.threads.add(threading.current_thread())
        self.begun.release()
        assert self.go_on.acquire(timeout=10)
        self.got.append(int(image[0, 0, 0]))

    def let_all(self) -> None:
        for _ in range(1000):
            self.go_on.release()


def row(*, watched: bool, main_thread: bool = False, write: object = None) -> SinkFormat:
    @contextmanager
    def opened(target: str, stream: Stream) -> Iterator[Sink]:
        yield Sink(write, str)

    return SinkFormat(
        "odd", "odd", "for tests", lambda target: target == "odd", opened, watched, main_thread
    )


@pytest.mark.parametrize(
    ("watched", "expected", "repeated"),
    [(False, [0, *[30] * 30, *[33] * 3], 31), (True, [0, 30, 33], 0)],
)
def test_a_slow_sink_is_not_waited_for(watched: bool, expected: list[int], repeated: int) -> None:
    sink = Slow()
    with SinkThread(row(watched=watched), Sink(sink.write, str)) as thread:
        thread.offer(0, picture(0))
        assert sink.begun.acquire(timeout=10)
        for tick in range(1, 31):
            thread.offer(tick, picture(tick))
        sink.go_on.release()
        assert sink.begun.acquire(timeout=10)
        thread.offer(33, picture(33))
        sink.let_all()
    assert sink.got == expected
    assert thread.counts == {"written": 3, "repeated": repeated, "skipped": 29}
    assert threading.current_thread() not in sink.threads


@pytest.mark.parametrize("watched", [False, True])
def test_the_last_picture_is_written(watched: bool) -> None:
    sink = Slow()
    sink.let_all()
    with SinkThread(row(watched=watched), Sink(sink.write, str)) as thread:
        thread.offer(7, picture(7))
        thread.offer(8, picture(8))
    assert sink.got[-1] == 8
    assert thread.counts["written"] + thread.counts["skipped"] == 2


def test_a_long_stall_keeps_one_picture() -> None:
    written: list[Image] = []
    with SinkThread(row(watched=False), Sink(written.append, str)) as thread:
        first = picture(0)
        last = picture(1)
        thread.offer(0, first)
        thread.offer(50_000, last)
    assert len(written) == 50_001
    assert written[0] is first or written[0] is last, (
        "as the thread came before the second picture or after it"
    )
    assert all(image is last for image in written[1:])


def test_a_sink_of_the_main_thread_is_written_in_it() -> None:
    threads = []
    before = threading.active_count()
    with SinkThread(
        row(watched=True, main_thread=True),
        Sink(lambda image: threads.append(threading.current_thread()), str),
    ) as thread:
        assert threading.active_count() == before
        thread.offer(0, picture(0))
        thread.offer(5, picture(5))
    assert threads == [threading.current_thread()] * 2
    assert thread.counts == {"written": 2, "repeated": 0, "skipped": 0}


def broken(image: Image) -> None:
    raise UsageError("the disk is full")


def test_a_failure_surfaces_at_the_next_offer() -> None:
    thread = SinkThread(row(watched=False), Sink(broken, str))
    with pytest.raises(UsageError, match="the disk is full"), thread:
        for tick in range(1000):
            thread.offer(tick, picture(0))
            time.sleep(1e-4)
    with pytest.raises(UsageError, match="the disk is full"):
        thread.close()


def test_a_failure_of_the_last_write_surfaces_at_the_end() -> None:
    with (
        pytest.raises(UsageError, match="the disk is full"),
        SinkThread(row(watched=True), Sink(broken, str)) as thread,
    ):
        thread.offer(0, picture(0))


def test_a_run_that_fails_drops_what_waits() -> None:
    sink = Slow()
    before = set(threading.enumerate())
    with pytest.raises(KeyError), SinkThread(row(watched=False), Sink(sink.write, str)) as thread:
        thread.offer(0, picture(0))
        assert sink.begun.acquire(timeout=10)
        thread.offer(100, picture(100))
        sink.go_on.release()
        assert sink.begun.acquire(timeout=10)
        threading.Timer(0.02, sink.let_all).start()
        raise KeyError
    assert sink.got[0] == 0
    assert len(sink.got) < 100
    assert not {
        thread for thread in set(threading.enumerate()) - before if thread.name.startswith("sink")
    }


def test_a_video_lasts_as_long_as_its_run(tmp_path: Path) -> None:
    target = str(tmp_path / "clip.mp4")
    with open_sink_threads([target, "null"], STREAM) as threads:
        for tick in (0, 1, 5, 9):
            for thread in threads:
                thread.offer(tick, picture(20 * tick))
    with av.open(target) as container:
        assert sum(1 for _ in container.decode(video=0)) == 10
    for thread in threads:
        assert thread.counts["written"] + thread.counts["repeated"] == 10
    assert "10 frames" in threads[0].sink.report()


@pytest.mark.parametrize("broken_first", [False, True])
def test_no_output_appears_when_another_sink_fails(
    broken_first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "SINKS", (*sinks.SINKS, row(watched=True, write=broken)))
    targets = [str(tmp_path / "clip.mp4"), "odd"]
    with (
        pytest.raises(ImavatarError, match="the disk is full"),
        open_sink_threads(targets[::-1] if broken_first else targets, STREAM) as threads,
    ):
        for thread in threads:
            thread.offer(0, picture(0))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
