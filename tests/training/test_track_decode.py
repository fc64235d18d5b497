"""The frames of video files: turns, times, pixel formats, and files that are refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from imavatar_deploy.errors import InputError
from imavatar_deploy.video.decode import VideoReader
from imavatar_deploy.video.hdr import to_standard_range
from imavatar_deploy.video.metadata import focal_length_35mm, quarter_turns

from .spherical_video import spherical

WIDTH, HEIGHT, FRAMES = 128, 96, 12


def picture(index: int) -> np.ndarray:
    """Red at the top left, blue at the bottom right, brighter from frame to frame."""
    image = np.full((HEIGHT, WIDTH, 3), 40 + 10 * (index % 12), dtype=np.uint8)
    image[: HEIGHT // 3, : WIDTH // 3] = (220, 30, 30)
    image[-HEIGHT // 3 :, -WIDTH // 3 :] = (30, 30, 220)
    return image


def write_video(
    path: Path,
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    frames: int = FRAMES,
    turn: float | None = None,
    times: list[int] | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    aspect: Fraction | None = None,
    picks: list[int] | None = None,
) -> Path:
    with av.open(str(path), "w", options=container or {}) as file:
        stream: Any = file.add_stream(
            codec,
            rate=25,
            options={"crf": "10"} | (options or {}) if codec.startswith("libx") else options,
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if turn is not None:
            stream.set_display_rotation(turn)
        for index, pick in enumerate(picks or range(frames)):
            frame = av.VideoFrame.from_ndarray(picture(pick), format="rgb24")
            frame = frame.reformat(format=pixels)
            if times is not None:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def read(path: Path) -> tuple[VideoReader, list[np.ndarray], list[float]]:
    with VideoReader(path) as reader:
        images, times = [], []
        for frame in reader.frames():
            images.append(frame.image())
            times.append(frame.time)
    return reader, images, times


def test_frames_and_times_of_an_ordinary_video(tmp_path: Path) -> None:
    reader, images, times = read(write_video(tmp_path / "v.mp4"))
    assert (reader.info.width, reader.info.height, reader.info.frames) == (WIDTH, HEIGHT, FRAMES)
    np.testing.assert_allclose(times, np.arange(FRAMES) / 25)
    for index, image in enumerate(images):
        assert np.abs(image.astype(int) - picture(index)).mean() < 3
    assert reader.info.notes == ()


def test_frames_can_be_read_twice(tmp_path: Path) -> None:
    with VideoReader(write_video(tmp_path / "v.mp4")) as reader:
        first = [frame.image() for frame in reader.frames()]
        second = [frame.image() for frame in reader.frames()]
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("turn", "times"), [(90, 1), (180, 2), (-90, 3)])
def test_a_turned_video_is_upright(tmp_path: Path, turn: int, times: int) -> None:
    reader, images, _ = read(write_video(tmp_path / "v.mov", turn=turn))
    upright = np.rot90(picture(0), times)
    assert images[0].shape == upright.shape
    assert (reader.info.height, reader.info.width) == upright.shape[:2]
    assert np.abs(images[0].astype(int) - upright).mean() < 3


def test_a_mirrored_video_is_mirrored_back(tmp_path: Path) -> None:
    matrix = np.array([-(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], dtype="<i4").tobytes()
    np.testing.assert_array_equal(quarter_turns(matrix, {}), [[-1, 0], [0, 1]])


def test_the_older_tag_of_a_turn() -> None:
    np.testing.assert_array_equal(quarter_turns(None, {"rotate": "90"}), [[0, 1], [-1, 0]])
    np.testing.assert_array_equal(quarter_turns(None, {"rotate": "no"}), np.eye(2))
    np.testing.assert_array_equal(quarter_turns(bytes(36), {}), np.eye(2))


def test_times_of_a_variable_frame_rate(tmp_path: Path) -> None:
    stamps = np.cumsum([33, 50, 20, 90, 33, 33, 70, 33, 41, 40, 33, 52]).tolist()
    _, _, times = read(write_video(tmp_path / "v.mp4", times=stamps))
    np.testing.assert_allclose(times, (np.array(stamps) - stamps[0]) / 1000, atol=1e-3)


@pytest.mark.parametrize(
    ("codec", "pixels", "suffix"),
    [
        ("libx265", "yuv420p10le", "mp4"),
        ("prores_ks", "yuv422p10le", "mov"),
        ("libx264", "yuv444p", "mkv"),
        ("ffv1", "bgr0", "mkv"),
        ("mpeg4", "yuv420p", "avi"),
    ],
)
def test_pixel_formats_become_rgb_of_8_bits(
    tmp_path: Path, codec: str, pixels: str, suffix: str
) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = write_video(tmp_path / f"v.{suffix}", codec=codec, pixels=pixels, options=options)
    _, images, _ = read(path)
    assert len(images) == FRAMES
    assert images[3].dtype == np.uint8
    assert np.abs(images[3].astype(int) - picture(3)).mean() < 6


def test_an_interlaced_video_is_merged_and_noted(tmp_path: Path) -> None:
    options = {"flags": "+ilme+ildct", "x264-params": "interlaced=1"}
    reader, images, times = read(write_video(tmp_path / "v.mp4", options=options))
    assert "interlaced" in reader.info.notes[0]
    assert len(images) == FRAMES
    np.testing.assert_allclose(times, np.arange(FRAMES) / 25, atol=1e-3)
    assert np.abs(images[5].astype(int) - picture(5)).mean() < 6


def test_hdr_is_noted_and_mapped(tmp_path: Path) -> None:
    colours = "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"
    options = {"x265-params": f"log-level=none:{colours}"}
    path = write_video(tmp_path / "v.mp4", codec="libx265", pixels="yuv420p10le", options=options)
    reader, images, _ = read(path)
    assert "HDR (HLG)" in reader.info.notes[0]
    assert images[0].dtype == np.uint8


def test_hdr_keeps_the_order_of_greys_and_their_neutrality() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for curve in (16, 18):
        mapped = to_standard_range(ramp, curve)[0].astype(int)
        assert np.ptp(mapped, axis=1).max() <= 1
        assert (np.diff(mapped[:, 0]) >= 0).all()
        assert mapped[0, 0] == 0
    # White paper (ITU-R BT.2408: 75 % of an HLG signal) is a bright grey of a standard screen.
    assert 200 < to_standard_range(ramp, 18)[0, 191, 0] < 250


def test_pixels_that_are_not_square_are_stretched(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", aspect=Fraction(4, 3))
    reader, images, _ = read(path)
    assert images[0].shape[:2] == (HEIGHT, round(WIDTH * 4 / 3))
    assert "not square" in reader.info.notes[0]


# Files that are refused


def message(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.exit_code == 6
    text = str(caught.value)
    assert path.name in text
    assert "\n" not in text
    return text


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert "there is no video" in message(tmp_path / "v.mp4")
    assert "is a folder" in message(tmp_path)


def test_text_is_not_a_video(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_text("hello")
    assert "is not a video that can be read" in message(path)


def test_sound_without_pictures(tmp_path: Path) -> None:
    path = tmp_path / "voice.m4a"
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=44100)
        samples = np.zeros((1, 44100), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 44100
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    assert "holds sound and no pictures" in message(path)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_photo(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    cv2.imwrite(str(path), picture(0))
    assert "is a photo" in message(path)


def test_a_video_of_one_frame_is_a_photo(tmp_path: Path) -> None:
    assert "is a photo" in message(write_video(tmp_path / "v.mp4", frames=1))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_video_that_is_cut_short(tmp_path: Path, suffix: str) -> None:
    container = {"movflags": "faststart"} if suffix == "mp4" else {}
    path = write_video(tmp_path / f"v.{suffix}", frames=80, container=container)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "is cut short" in message(path)


def test_a_damaged_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", frames=60)
    content = bytearray(path.read_bytes())
    generator = np.random.default_rng(0)
    for place in generator.integers(1500, len(content) * 6 // 10, 400):
        content[place] = generator.integers(256)
    path.write_bytes(bytes(content))
    assert "is damaged" in message(path)


def test_a_360_degree_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4")
    path.write_bytes(spherical(path.read_bytes()))
    assert "is a 360-degree recording" in message(path)


# Focal length


def test_focal_length_of_metadata() -> None:
    key = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
    assert focal_length_35mm({key: "26"}) == 26.0
    assert focal_length_35mm({"FocalLengthIn35mmFilm": "50 mm".replace(" ", "")}) == 50.0
    assert focal_length_35mm({key: "0"}) is None
    assert focal_length_35mm({key: "wide"}) is None
    assert focal_length_35mm({"title": "26"}) is None
