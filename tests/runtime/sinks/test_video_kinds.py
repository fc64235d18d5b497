"""WebM, MOV, AVI, GIF, JPEG and folders, decoded again: sizes, counts, times, colours and alpha."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from imavatar_deploy.errors import UsageError
from imavatar_deploy.rendering.renderer import COLOURS
from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.commands.run import run
from imavatar_deploy.runtime.sinks import Stream, open_sink

STREAM = Stream(width=64, height=48, fps=25.0)
COUNT = 7
CODECS = {".webm": "vp9", ".mov": "prores", ".avi": "h264", ".gif": "gif"}


def image(index: int, alpha: int = 128) -> NDArray[np.uint8]:
    """A square that moves, and a steady bar with an alpha of its own, over nothing."""
    drawn = np.zeros((STREAM.height, STREAM.width, 4), dtype=np.uint8)
    drawn[8:24, 8 + 2 * index : 24 + 2 * index] = (200, 40, 90, 255)
    drawn[30:42, 24:56] = (40, 160, 90, alpha)
    return drawn


def write(target: Path | str, stream: Stream = STREAM, count: int = COUNT) -> str:
    with open_sink(target, stream) as sink:
        for index in range(count):
            sink.write(image(index))
    return sink.report()


def frames(path: Path) -> Iterator[Any]:
    """Frames of a file; those of VP9 by the decoder that reads transparency."""
    with av.open(str(path)) as container:
        (stream,) = container.streams
        if stream.codec_context.name != "vp9":
            yield from container.decode(stream)
            return
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        for packet in container.demux(stream):
            yield from decoder.decode(packet if packet.size else None)


def rgba(path: Path) -> list[NDArray[np.int64]]:
    return [frame.to_ndarray(format="rgba").astype(int) for frame in frames(path)]


@pytest.mark.parametrize("suffix", CODECS)
def test_size_count_and_rate(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"clip{suffix}"
    assert f"{COUNT} frames" in write(path)
    read = list(frames(path))
    assert [(frame.width, frame.height) for frame in read] == [(64, 48)] * COUNT
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert stream.codec_context.name == CODECS[suffix]
        times = [float(frame.pts * stream.time_base) for frame in read]
    np.testing.assert_allclose(np.diff(times), 0.04, atol=0.001)


@pytest.mark.parametrize("suffix", [".webm", ".mov"])
def test_transparency_and_colours(suffix: str, tmp_path: Path) -> None:
    write(tmp_path / f"clip{suffix}")
    for index, read in enumerate(rgba(tmp_path / f"clip{suffix}")):
        drawn = image(index).astype(int)
        np.testing.assert_allclose(read[..., 3], drawn[..., 3], atol=24)
        assert np.abs(read[..., 3] - drawn[..., 3]).mean() < 1
        np.testing.assert_allclose(read[36, 40], (40, 160, 90, 128), atol=6)
        np.testing.assert_allclose(read[16, 16 + 2 * index], (200, 40, 90, 255), atol=6)


def test_avi_is_over_white(tmp_path: Path) -> None:
    write(tmp_path / "clip.avi")
    read = rgba(tmp_path / "clip.avi")
    np.testing.assert_allclose(read[0][16, 16, :3], (200, 40, 90), atol=8)
    np.testing.assert_allclose(read[0][4, 60, :3], 255, atol=4)
    np.testing.assert_allclose(read[0][36, 40, :3], (147, 207, 172), atol=8)


def test_gif_is_opaque_or_transparent(tmp_path: Path) -> None:
    write(tmp_path / "clip.gif")
    for index, read in enumerate(rgba(tmp_path / "clip.gif")):
        np.testing.assert_array_equal(read[..., 3], np.where(image(index)[..., 3], 255, 0))
        np.testing.assert_allclose(read[16, 16 + 2 * index], (200, 40, 90, 255), atol=4)
        np.testing.assert_allclose(read[36, 40], (40, 160, 90, 255), atol=4)
    with open_sink(tmp_path / "faint.gif", STREAM) as sink:
        sink.write(image(0, alpha=127))
    assert not rgba(tmp_path / "faint.gif")[0][36, 40, 3]


def test_gif_repeats(tmp_path: Path) -> None:
    write(tmp_path / "clip.gif")
    assert b"NETSCAPE2.0\x03\x01\x00\x00" in (tmp_path / "clip.gif").read_bytes()


def test_gif_keeps_the_time_of_other_rates(tmp_path: Path) -> None:
    write(tmp_path / "clip.gif", Stream(64, 48, 30.0), count=31)
    times = [float(frame.pts * frame.time_base) for frame in frames(tmp_path / "clip.gif")]
    np.testing.assert_allclose(times, np.arange(31) / 30, atol=0.0101)


def test_gif_of_many_images_a_second_is_refused(tmp_path: Path) -> None:
    message = "a GIF has at most 50 images a second, got 60; choose a smaller --fps, such as 25"
    with (
        pytest.raises(UsageError, match=message),
        open_sink(tmp_path / "clip.gif", Stream(64, 48, 60)),
    ):
        pytest.fail("it opened")


def test_avi_of_odd_size_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="even width and height, got 63 x 48"),
        open_sink(tmp_path / "clip.avi", Stream(63, 48, 25)),
    ):
        pytest.fail("it opened")


@pytest.mark.parametrize("suffix", [".webm", ".mov", ".gif"])
def test_odd_sizes(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"clip{suffix}"
    with open_sink(path, Stream(63, 47, 25)) as sink:
        sink.write(image(0)[:47, :63].copy())
    (read,) = rgba(path)
    assert read.shape == (47, 63, 4)
    np.testing.assert_allclose(read[16, 16], (200, 40, 90, 255), atol=6)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpegs_are_over_white(suffix: str, tmp_path: Path) -> None:
    report = write(tmp_path / "frames" / f"a%03d{suffix}")
    assert f"{COUNT} images" in report
    files = sorted((tmp_path / "frames").iterdir())
    assert [path.name for path in files] == [f"a{n:03d}{suffix}" for n in range(1, COUNT + 1)]
    read = cv2.cvtColor(cv2.imread(str(files[2])), cv2.COLOR_BGR2RGB).astype(int)
    assert read.shape == (48, 64, 3)
    np.testing.assert_allclose(read[16, 20], (200, 40, 90), atol=8)
    np.testing.assert_allclose(read[4, 60], 255, atol=4)


@pytest.mark.parametrize("ending", ["/", ""])
def test_folder_receives_numbered_images(ending: str, tmp_path: Path) -> None:
    if not ending:  # a folder that is there is one without the stroke, too
        (tmp_path / "new").mkdir()
    write(f"{tmp_path}/new{ending}")
    files = sorted((tmp_path / "new").iterdir())
    assert [path.name for path in files] == [f"{n:05d}.png" for n in range(1, COUNT + 1)]
    read = cv2.imread(str(files[0]), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(cv2.cvtColor(read, cv2.COLOR_BGRA2RGBA), image(0))


def test_folder_and_its_images_are_one_place(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    sinks = ["--sink", f"{tmp_path}/new/", "--sink", f"{tmp_path}/new/%05d.png"]
    result = CliRunner().invoke(run, [str(tiny_avatar_folder), *sinks, "--frames", "0:2"])
    assert result.exit_code == 2
    assert "two sinks would write to" in result.stderr


@pytest.mark.parametrize("background", ["transparent", "white"])
def test_runs_show_what_the_player_draws(background: str, tmp_path: Path) -> None:
    names = ["take.webm", "take.mov", "take.gif", "take.avi"]
    sinks = [part for name in [*names, "png/"] for part in ("--sink", f"{tmp_path}/{name}")]
    options = ["--frames", "0:3", "--size", "128", "--background", background]
    result = CliRunner().invoke(run, ["sample", *sinks, *options])
    assert result.exit_code == 0, result.output
    truth = [
        cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA).astype(int)
        for path in sorted((tmp_path / "png").iterdir())
    ]
    assert (truth[0][..., 3] == 255).all() == (background == "white")
    for name in names:
        read = rgba(tmp_path / name)
        assert len(read) == len(truth) == 3
        for drawn, shown in zip(truth, read, strict=True):
            if name != "take.avi":
                assert np.abs(shown[..., 3] - drawn[..., 3]).mean() < 3, name
            solid = drawn[..., 3] == 255
            assert np.abs(shown - drawn)[solid, :3].mean() < 4, name


def test_player_is_the_measure(tmp_path: Path) -> None:
    """The colours of a ProRes file are those that `Player.render` returns."""
    with Player("sample", size=128, background=COLOURS["white"]) as player:
        drawn = player.render(np.zeros(50, np.float32), np.zeros(15, np.float32))
    with open_sink(tmp_path / "still.mov", Stream(128, 128, 25)) as sink:
        sink.write(drawn)
    (read,) = rgba(tmp_path / "still.mov")
    assert np.abs(read - drawn.astype(int)).mean() < 2


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    for suffix in CODECS:
        for name in "ab":
            write(tmp_path / f"{name}{suffix}")
        first, second = ((tmp_path / f"{name}{suffix}").read_bytes() for name in "ab")
        assert first == second, suffix
