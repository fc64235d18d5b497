"""Live images: the newest is tracked, errors reach the loop, and closing ends the threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.runtime.sources.image_stream import (
    Images,
    ImageStream,
    NewestImage,
    TimedImage,
    open_images,
)
from imavatar_deploy.runtime.sources.observation import Inbox, Observation

SECONDS = 20.0
"""Limit of every wait."""


def image(time: float) -> TimedImage:
    return TimedImage(np.full((4, 4, 3), int(time), np.uint8), time)


def observed(picture: np.ndarray, time: float) -> Observation | str:
    """A face whose first weight is the image's brightness; black images have none."""
    if not picture.any():
        return "empty"
    weights = np.zeros(50, np.float32)
    weights[0] = picture.mean() / 255
    return Observation("openhead", weights, np.zeros(15, np.float32), time)


def all_of(*times: float) -> Images:
    def images(stopped: threading.Event) -> Iterator[TimedImage]:
        yield from map(image, times)

    return images


def test_a_newer_image_replaces_one_that_waits() -> None:
    room = NewestImage()
    assert [room.put(image(time)) for time in (1, 2, 3)] == [False, True, True]
    newest = room.take()
    assert newest is not None
    assert newest.time == 3
    assert room.put(image(4)) is False


def test_the_last_image_is_taken_before_the_end() -> None:
    room = NewestImage()
    room.put(image(1))
    room.end()
    assert room.take() is not None
    assert room.take() is None


def test_while_tracking_is_busy_images_are_skipped() -> None:
    inbox = Inbox()
    taken, go_on = threading.Event(), threading.Event()

    def images(stopped: threading.Event) -> Iterator[TimedImage]:
        yield image(1)
        assert taken.wait(SECONDS)
        yield from map(image, (2, 3, 4))
        go_on.set()

    def track(picture: np.ndarray, time: float) -> Observation | str:
        taken.set()
        assert go_on.wait(SECONDS)
        return observed(picture, time)

    with open_images(images, track, inbox, 25.0, "openhead", "camera 0") as source:
        assert source.inbox.ended.wait(SECONDS)
    assert [arrival.observation.time for arrival in inbox.take()] == [1, 4]
    assert inbox.counts["skipped"] == 2
    assert inbox.error is None


def test_withheld_faces_are_counted_by_their_reason() -> None:
    inbox = Inbox()
    with open_images(all_of(0), observed, inbox, 25.0, "openhead", "camera 0") as source:
        assert inbox.ended.wait(SECONDS)
        assert (source.fps, source.vocabulary, source.listening) == (25.0, "openhead", "camera 0")
        assert source.local_clock
    assert inbox.counts["empty"] == 1


@pytest.mark.parametrize("where", ["reader", "tracker"])
def test_an_error_of_either_thread_reaches_the_inbox(where: str) -> None:
    def images(stopped: threading.Event) -> Iterator[TimedImage]:
        yield image(1)
        if where == "reader":
            raise MissingDependencyError("unplugged")
        assert stopped.wait(SECONDS), "the reader is not stopped"

    def track(picture: np.ndarray, time: float) -> Observation | str:
        if where == "tracker":
            raise MissingDependencyError("unplugged")
        return observed(picture, time)

    inbox = Inbox()
    stream = ImageStream(images, track, inbox)
    stream.start()
    assert inbox.ended.wait(SECONDS)
    stream.stop()
    assert isinstance(inbox.error, MissingDependencyError)


def test_closing_ends_both_threads() -> None:
    def images(stopped: threading.Event) -> Iterator[TimedImage]:
        while not stopped.wait(0.01):
            yield image(1)

    before = threading.active_count()
    with open_images(images, observed, Inbox(), 25.0, "openhead", "camera 0"):
        assert threading.active_count() == before + 2
    assert threading.active_count() == before
