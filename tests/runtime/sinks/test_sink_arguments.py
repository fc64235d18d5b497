"""Sinks opened from Python: paths as targets, and one sentence for a wrong image or stream."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.errors import UsageError
from imavatar_deploy.runtime.sinks import Stream, find_sink, open_sink

STREAM = Stream(64, 32, 25)
FILES = ["clip.mp4", "frames/%05d.png", "sheet.png"]


def image() -> np.ndarray:
    return np.full((32, 64, 4), 200, dtype=np.uint8)


@pytest.mark.parametrize("name", FILES)
def test_a_path_is_a_target(name: str, tmp_path: Path) -> None:
    with open_sink(tmp_path / name, STREAM) as sink:
        sink.write(image())
    assert str(tmp_path) in sink.report()
    assert any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("target", [None, 5, b"clip.mp4"])
def test_another_target_is_refused(target: Any) -> None:
    message = f"a sink must be a str or a Path, got {type(target).__name__}"
    with pytest.raises(UsageError, match=message):
        find_sink(target)
    with pytest.raises(UsageError, match=message):
        open_sink(target, STREAM)


@pytest.mark.parametrize("name", [*FILES, "null"])
@pytest.mark.parametrize(
    ("wrong", "actual"),
    [
        (np.zeros((32, 32, 4), np.uint8), r"\[32, 32, 4\] uint8"),
        (np.zeros((32, 64, 3), np.uint8), r"\[32, 64, 3\] uint8"),
        (np.zeros((32, 64, 4)), r"\[32, 64, 4\] float64"),
        (None, "NoneType"),
    ],
)
def test_a_wrong_image_is_refused(name: str, wrong: Any, actual: str, tmp_path: Path) -> None:
    target = name if name == "null" else str(tmp_path / name)
    with (
        pytest.raises(UsageError, match=rf"image must be \[32, 64, 4\] uint8, got {actual}"),
        open_sink(target, STREAM) as sink,
    ):
        sink.write(wrong)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", FILES)
def test_a_file_without_an_image_is_refused(name: str, tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="no image was written"),
        open_sink(tmp_path / name, STREAM),
    ):
        pass
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("a", 32, 25), "width of a stream must be a positive number of pixels, got 'a'"),
        ((64, 0, 25), "height of a stream must be .*, got 0"),
        ((64, 32.0, 25), "height of a stream must be .*, got 32.0"),
        ((64, 32, None), "fps of a stream must be a positive number of images a second, got None"),
        ((64, 32, float("nan")), "fps of a stream must be .*, got nan"),
        ((64, 32, 0), "fps of a stream must be .*, got 0"),
    ],
)
def test_an_impossible_stream_is_refused(values: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Stream(*values)


def test_numbers_of_other_types_are_accepted(tmp_path: Path) -> None:
    for index, fps in enumerate((Fraction(30000, 1001), np.float32(25), 30)):
        stream = Stream(np.int64(64), np.int32(32), fps)  # type: ignore[arg-type]
        with open_sink(tmp_path / f"{index}.mp4", stream) as sink:
            sink.write(image())


def test_a_sink_needs_a_stream(tmp_path: Path) -> None:
    wrong: Any = (64, 32, 25)
    with pytest.raises(UsageError, match=r"stream must be a Stream\(width, height, fps\)"):
        open_sink(tmp_path / "clip.mp4", wrong)
