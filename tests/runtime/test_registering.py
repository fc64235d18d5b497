"""Sources and sinks of one's own: registered once, asked first, opened by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.errors import UsageError
from imavatar_deploy.runtime import Inbox, Observation, Player, listen, sinks, sources
from imavatar_deploy.runtime.live.drivers import LiveDriver
from imavatar_deploy.runtime.sinks import Sink, SinkFormat, Stream, open_sink, register_sink
from imavatar_deploy.runtime.sources import (
    LiveSource,
    Selection,
    Source,
    SourceFormat,
    open_source,
    register_source,
)
from imavatar_deploy.tracks import FlameFrame


@contextmanager
def open_mean(target: str, stream: Stream) -> Iterator[Sink]:
    images: list[np.ndarray] = []
    yield Sink(write=images.append, report=lambda: f"{len(images)} images")
    np.save(target, np.mean(images, axis=0))


@contextmanager
def open_nod(target: str, selection: Selection) -> Iterator[Source]:
    frames = [FlameFrame(np.zeros(50), np.full(15, 0.01 * index)) for index in range(9)]
    yield Source(frames[selection.frames], fps=30.0, edition="openhead", count=9)


@contextmanager
def open_hum(target: str, selection: Selection) -> Iterator[LiveSource]:
    inbox = Inbox()
    inbox.put(Observation("openhead", np.zeros(50), np.full(15, 0.1)))
    inbox.ended.set()
    yield LiveSource(inbox, 30.0, "openhead", "nowhere")


MEAN = SinkFormat("mean", "mean.npy", "mean image", lambda t: t.endswith(".mean.png"), open_mean)
NOD = SourceFormat("nod", "nod", "a nod", lambda target: target == "nod", open_nod)
HUM = SourceFormat("hum", "hum", "a hum", lambda target: target == "hum", open_hum)


@pytest.fixture(autouse=True)
def _tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "SINKS", list(sinks.SINKS))
    monkeypatch.setattr(sources, "SOURCES", list(sources.SOURCES))


def test_a_registered_sink_comes_before_the_others(tmp_path: Path) -> None:
    target = str(tmp_path / "talk.mean.png")
    assert sinks.find_sink(target).name != "mean"
    register_sink(MEAN)
    assert sinks.find_sink(target) is MEAN
    assert sinks.find_sink(str(tmp_path / "talk.png")) is not MEAN
    with open_sink(target, Stream(4, 4, 25.0)) as sink:
        for value in (10, 20):
            sink.write(np.full((4, 4, 4), value, dtype=np.uint8))
    assert sink.report() == "2 images"
    assert np.all(np.load(f"{target}.npy") == 15)


def test_a_recording_of_ones_own_is_opened_by_its_name() -> None:
    register_source(NOD)
    with open_source("nod", Selection(frames=slice(2, 5))) as source:
        assert isinstance(source, Source)
        assert [round(float(frame.pose[0]), 3) for frame in source.frames] == [0.02, 0.03, 0.04]


def test_a_tracker_of_ones_own_drives_a_player() -> None:
    register_source(HUM)
    with Player("sample", size=16) as player, listen("hum", player.avatar) as tracker:
        assert isinstance(tracker, LiveDriver)
        assert tracker.inbox.counts["received"] == 1


def test_names_that_are_taken_are_refused() -> None:
    register_sink(MEAN)
    register_source(NOD)
    with pytest.raises(UsageError, match="a sink 'mean' already"):
        register_sink(MEAN)
    with pytest.raises(UsageError, match="a source 'nod' already"):
        register_source(NOD)
    with pytest.raises(UsageError, match="a sink 'video' already"):
        register_sink(SinkFormat("video", "x", "x", lambda target: False, open_mean))


def test_a_protocol_is_registered_as_a_source() -> None:
    protocol = replace(sources.flame_udp.PROTOCOL, scheme="mine")
    register_source(protocol)
    with open_source("mine://127.0.0.1:0") as source:
        assert isinstance(source, LiveSource)
        assert source.listening.startswith("UDP 127.0.0.1:")
    with pytest.raises(UsageError, match="a source 'mine' already"):
        register_source(protocol)


@pytest.mark.parametrize("wrong", ["x", None, MEAN])
def test_other_rows_are_refused(wrong: Any) -> None:
    message = f"a source must be a SourceFormat or a Protocol, got {type(wrong).__name__}"
    with pytest.raises(UsageError, match=message):
        register_source(wrong)
    other: Any = NOD if wrong is MEAN else wrong
    message = f"a sink must be a SinkFormat, got {type(other).__name__}"
    with pytest.raises(UsageError, match=message):
        register_sink(other)
