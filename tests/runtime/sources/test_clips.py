"""Clips as live sources: speed, turn, the moment of the start, and files that are no clips.

The face is a stand-in: its first weight is the brightness of an image's upper left corner.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import av
import numpy as np
import pytest

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.runtime.sources import LiveSource, face_motion, open_source
from imavatar_deploy.runtime.sources.observation import Observation
from imavatar_deploy.runtime.sources.video import PREFIX, clip_of

COUNT, FPS = 8, 25
SECONDS = 20.0
"""Limit of every wait."""


def write_clip(path: Path) -> Path:
    """A clip of `COUNT` frames whose upper half grows brighter."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 96, 128, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        for index in range(COUNT):
            picture = np.zeros((128, 96, 3), np.uint8)
            picture[:64] = 40 + 25 * index
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


class StandIn:
    """Stand-in for `FaceMotion`."""

    vocabulary = "openhead"

    def __init__(self) -> None:
        self.sizes: set[tuple[int, ...]] = set()
        self.focal: float | None = None

    def observe(self, image: Any, time: float) -> Observation | str:
        self.sizes.add(image.shape)
        weights = np.zeros(50, np.float32)
        weights[0] = image[8, 8].mean() / 255
        return Observation("openhead", weights, np.zeros(15, np.float32), time)


@pytest.fixture
def motion(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()

    @contextmanager
    def opened(focal: float | None = None) -> Iterator[StandIn]:
        stand_in.focal = focal
        yield stand_in

    monkeypatch.setattr(face_motion, "open_face_motion", opened)
    return stand_in


def test_a_clip_is_played_at_its_own_speed(motion: StandIn, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    with open_source(f"video:{path}") as source:
        assert isinstance(source, LiveSource)
        assert (source.fps, source.vocabulary) == (FPS, "openhead")
        assert source.listening == str(path)
        start = monotonic()
        assert source.inbox.take() == []
        assert source.inbox.ended.wait(SECONDS)
        assert monotonic() - start >= (COUNT - 1) / FPS
        assert source.inbox.error is None
        arrivals = source.inbox.take()
        skipped = source.inbox.counts["skipped"]
    assert len(arrivals) + skipped == COUNT
    times = np.array([arrival.observation.time for arrival in arrivals], dtype=float)
    steps = (times - times[0]) * FPS
    np.testing.assert_allclose(steps, steps.round(), atol=1e-6)
    brightness = [float(arrival.observation.weights[0]) for arrival in arrivals]
    assert brightness == sorted(brightness)
    assert brightness[-1] > 2 * 40 / 255


def test_a_clip_waits_until_the_run_takes_observations(motion: StandIn, tmp_path: Path) -> None:
    """The first frame of a run may compile for seconds, in which nothing of the clip is lost."""
    with open_source(f"video:{write_clip(tmp_path / 'clip.mp4')}") as source:
        assert isinstance(source, LiveSource)
        sleep(0.3)
        assert not motion.sizes
        assert not source.inbox.ended.is_set()
        begun = monotonic()
        source.inbox.take()
        assert source.inbox.ended.wait(SECONDS)
        first = source.inbox.take()[0].observation.time
    assert first is not None
    assert first >= begun


def test_a_clip_that_never_begins_closes(motion: StandIn, tmp_path: Path) -> None:
    with open_source(f"video:{write_clip(tmp_path / 'clip.mp4')}"):
        pass
    assert not motion.sizes


def test_the_focal_length_is_an_option(motion: StandIn, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "what?.mp4")
    for option, focal in (("", None), ("?focal=812.5", 812.5)):
        with open_source(f"video:{path}{option}"):
            assert motion.focal == focal


def test_other_options_are_one_sentence(motion: StandIn, tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match=r"as in \?focal=900"),
        open_source(f"video:{write_clip(tmp_path / 'clip.mp4')}?model=a.task"),
    ):
        pytest.fail("it opened")
    with pytest.raises(UsageError, match="as in video:clip.mp4"), open_source(PREFIX):
        pytest.fail("it opened")


def test_files_that_are_no_clips_are_one_sentence(motion: StandIn, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    sound = tmp_path / "sound.m4a"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    for path, words in (
        (tmp_path / "nowhere.mp4", "there is no video"),
        (text, "not a video that can be read"),
        (sound, "sound and no pictures"),
    ):
        with pytest.raises(InputError, match=words) as refusal, open_source(f"video:{path}"):
            pytest.fail("it opened")
        assert len(str(refusal.value).splitlines()) == 1


def test_path_of_a_clip() -> None:
    assert clip_of("video:clip.mp4") == clip_of("video:clip.mp4?focal=900") == "clip.mp4"
    assert clip_of("webcam:0") is None
