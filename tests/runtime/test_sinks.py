"""Every sink: its output is read back, and a run that fails leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from imavatar_deploy.errors import UsageError
from imavatar_deploy.runtime.sinks import SINKS, Stream, find_sink, open_sink

STREAM = Stream(width=48, height=32, fps=24.0)
FILES = {
    "video": "clip.mp4",
    "webm": "clip.webm",
    "mov": "clip.mov",
    "avi": "clip.avi",
    "gif": "clip.gif",
    "images": "frames/%05d.png",
    "jpegs": "frames/%05d.jpg",
    "folder": "frames/",
    "contact_sheet": "sheet.png",
}
OTHERS = {
    "window": "window",
    "http": "http://127.0.0.1:8080",
    "virtual_camera": "virtualcam",
    "osc": "osc://:39539",
    "livelink": "livelink://192.168.1.20",
    "null": "null",
}
EXAMPLES = FILES | OTHERS


def images(count: int = 5) -> Iterator[NDArray[np.uint8]]:
    """A square that moves over a transparent background."""
    for index in range(count):
        image = np.zeros((STREAM.height, STREAM.width, 4), dtype=np.uint8)
        image[8:24, 8 + 4 * index : 24 + 4 * index] = (200, 40, 90, 255)
        yield image


@pytest.fixture
def target(tmp_path: Path) -> Callable[[str], str]:
    """A sink's own example target, in a temporary folder."""
    return lambda name: OTHERS.get(name) or f"{tmp_path}/out/{FILES[name]}"


def everything_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_table_has_an_example_for_each_row() -> None:
    assert {row.name for row in SINKS} == set(EXAMPLES)
    for row in SINKS:
        assert find_sink(EXAMPLES[row.name]) is row
        assert row.pattern
        assert row.description


def test_what_people_look_at_is_watched() -> None:
    assert {row.name for row in SINKS if row.watched} == set(OTHERS) - {"null"}
    assert [row.name for row in SINKS if row.main_thread] == ["window"]


@pytest.mark.parametrize("name", FILES)
def test_failed_run_leaves_nothing_behind(
    name: str, target: Callable[[str], str], tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="cable pulled"), open_sink(target(name), STREAM) as sink:
        for image in images(3):
            sink.write(image)
        raise RuntimeError("cable pulled")
    assert not list(tmp_path.iterdir())  # no empty folder, either


@pytest.mark.parametrize("name", FILES)
def test_failed_run_leaves_earlier_folders(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with (
        pytest.raises(RuntimeError),
        open_sink(f"{tmp_path}/mine/new/{FILES[name]}", STREAM) as sink,
    ):
        sink.write(next(images()))
        raise RuntimeError
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


@pytest.mark.parametrize("name", FILES)
def test_failed_run_keeps_the_earlier_result(
    name: str, target: Callable[[str], str], tmp_path: Path
) -> None:
    with open_sink(target(name), STREAM) as sink:
        for image in images():
            sink.write(image)
    before = {path: path.read_bytes() for path in everything_in(tmp_path)}
    with pytest.raises(RuntimeError), open_sink(target(name), STREAM) as sink:
        sink.write(next(images()))
        raise RuntimeError
    assert {path: path.read_bytes() for path in everything_in(tmp_path)} == before


def test_video_reads_back(target: Callable[[str], str]) -> None:
    with open_sink(target("video"), STREAM) as sink:
        for image in images(7):
            sink.write(image)
    assert "7 frames" in sink.report()
    with av.open(target("video")) as container:
        (stream,) = container.streams
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.average_rate, stream.codec_context.colorspace) == (24, 1)
    assert len(frames) == 7
    assert frames[0].shape == (32, 48, 3)
    np.testing.assert_allclose(frames[0][14, 14].astype(int), (200, 40, 90), atol=8)
    np.testing.assert_allclose(frames[0][2, 40].astype(int), 255, atol=4)


@pytest.mark.parametrize("fps", [25.0, 30000 / 1001, 12.5])
def test_video_keeps_its_rate(fps: float, target: Callable[[str], str]) -> None:
    with open_sink(target("video"), Stream(48, 32, fps)) as sink:
        for image in images():
            sink.write(image)
    with av.open(target("video")) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(fps)


@pytest.mark.parametrize("size", [(47, 32), (48, 31)])
def test_video_of_odd_size_is_refused(
    size: tuple[int, int], target: Callable[[str], str], tmp_path: Path
) -> None:
    with (
        pytest.raises(UsageError, match=f"even width and height, got {size[0]} x {size[1]}"),
        open_sink(target("video"), Stream(*size, 25.0)),
    ):
        pytest.fail("it opened")
    assert not everything_in(tmp_path)


def test_images_read_back(target: Callable[[str], str], tmp_path: Path) -> None:
    with open_sink(target("images"), STREAM) as sink:
        for image in images():
            sink.write(image)
    written = sorted(everything_in(tmp_path))
    assert [path.name for path in written] == [f"{number:05d}.png" for number in range(1, 6)]
    for path, image in zip(written, images(), strict=True):
        read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(read, image[..., [2, 1, 0, 3]])
    assert "5 images" in sink.report()


def test_images_leave_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with open_sink(str(tmp_path / "%d.png"), STREAM) as sink:
        sink.write(next(images()))
    assert sorted(path.name for path in everything_in(tmp_path)) == ["1.png", "notes.txt"]


@pytest.mark.parametrize("count", [1, 5, 24, 49, 200])
def test_contact_sheet_shows_the_run_in_order(count: int, target: Callable[[str], str]) -> None:
    with open_sink(target("contact_sheet"), STREAM) as sink:
        for index in range(count):
            sink.write(
                np.full((STREAM.height, STREAM.width, 4), (index, 0, 0, 255), dtype=np.uint8)
            )
    sheet = cv2.imread(target("contact_sheet"), cv2.IMREAD_UNCHANGED)
    tiles = min(24, count)
    columns = min(6, count)
    assert sheet.shape == (-(-tiles // columns) * STREAM.height, columns * STREAM.width, 4)
    pixels = sheet[:: STREAM.height, :: STREAM.width].reshape(-1, 4)
    numbers = pixels[:tiles, 2].astype(int)
    assert (pixels[:tiles, 3] == 255).all()
    assert not pixels[tiles:].any()
    assert numbers[0] == 0
    assert numbers[-1] >= count - 1 - count // 24
    if count > 1:
        gaps = np.diff(numbers)
        assert gaps.min() > 0
        assert gaps.max() <= 2 * gaps.min()


def test_contact_sheet_shrinks_without_dark_rims(tmp_path: Path) -> None:
    image = np.zeros((600, 600, 4), dtype=np.uint8)
    image[77:501, 133:402] = (200, 100, 50, 255)
    with open_sink(str(tmp_path / "sheet.png"), Stream(600, 600, 25.0)) as sink:
        sink.write(image)
    sheet = cv2.imread(str(tmp_path / "sheet.png"), cv2.IMREAD_UNCHANGED)
    assert sheet.shape == (256, 256, 4)
    opaque = sheet[..., 3] > 8
    assert (sheet[..., 3] % 255 > 0).any()
    np.testing.assert_allclose(
        sheet[opaque][:, 2::-1].astype(int), np.tile((200, 100, 50), (opaque.sum(), 1)), atol=16
    )


@pytest.mark.parametrize("side", [256, 600], ids=["same size", "shrunk"])
def test_contact_sheet_keeps_colours_that_are_partly_transparent(side: int, tmp_path: Path) -> None:
    image = np.zeros((side, side, 4), dtype=np.uint8)
    image[50:200, 50:200] = (200, 100, 50, 255)
    image[50:200, 120:] = (200, 100, 50, 77)
    with open_sink(str(tmp_path / "sheet.png"), Stream(side, side, 25.0)) as sink:
        sink.write(image)
    sheet = cv2.imread(str(tmp_path / "sheet.png"), cv2.IMREAD_UNCHANGED)
    shown = sheet[sheet[..., 3] > 8]
    assert np.isin([77, 255], shown[:, 3]).all()
    np.testing.assert_allclose(
        shown[:, 2::-1].astype(int), np.tile((200, 100, 50), (len(shown), 1)), atol=1
    )


def test_null_reports_nothing() -> None:
    with open_sink("null", STREAM) as sink:
        sink.write(next(images()))
    assert sink.report() == ""


@pytest.mark.parametrize(
    "target", ["clip.mkv", "frames/%s.png", "frames/%s.jpg", "%d%d.png", "nul", ""]
)
def test_unknown_sink_lists_what_exists(target: str) -> None:
    with pytest.raises(
        UsageError,
        match=r"unknown sink .*expected one of \*\.avi, \*\.gif, \*\.mov, \*\.mp4, \*\.webm, "
        r"frames/, frames/%05d\.jpg, frames/%05d\.png, http.*, livelink.*, "
        r"null, osc.*, sheet",
    ):
        find_sink(target)


@pytest.mark.parametrize("name", FILES)
def test_unwritable_place_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where a folder should be", encoding="utf-8")
    with (
        pytest.raises(UsageError, match="cannot be written"),
        open_sink(f"{tmp_path}/out/{EXAMPLES[name]}", STREAM),
    ):
        pytest.fail("it opened")
