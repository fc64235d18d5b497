"""Sources: the selected frames at the selected rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.runtime.sources import SOURCES, Selection, open_source
from imavatar_deploy.tracks import FlameTrack, read_track, write_track

from ..tracks.tracker_files import motion, write_motion


@pytest.fixture
def ramp(tmp_path: Path) -> str:
    """Ten frames at 20 frames a second; the first expression counts them."""
    expression = np.zeros((10, 50))
    expression[:, 0] = range(10)
    path = tmp_path / "ramp.json"
    write_track(FlameTrack(expression, np.zeros((10, 15)), fps=20.0, edition="openhead"), path)
    return str(path)


def played(target: str, selection: Selection) -> tuple[list[int], float]:
    with open_source(target, selection) as source:
        frames = [int(frame.expression[0]) for frame in source.frames]
        assert source.count == len(frames)
        assert source.edition == "openhead"
        return frames, source.fps


@pytest.mark.parametrize(
    ("frames", "fps", "expected", "rate"),
    [
        (slice(None), None, list(range(10)), 20.0),
        (slice(2, 8, 3), None, [2, 5], 20.0 / 3),
        (slice(-3, None), None, [7, 8, 9], 20.0),
        (slice(None), 20.0, list(range(10)), 20.0),
        (slice(None), 10.0, [0, 2, 4, 6, 8], 10.0),
        (slice(None), 40.0, sorted([*range(10), *range(10)]), 40.0),
        (slice(None), 30.0, [0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8, 8, 9], 30.0),
        (slice(0, 1), 1.0, [0], 1.0),
    ],
)
def test_frames_and_rate(
    ramp: str, frames: slice, fps: float | None, expected: list[int], rate: float
) -> None:
    assert played(ramp, Selection(frames, fps)) == (expected, pytest.approx(rate))


def test_talk_is_bundled() -> None:
    with open_source("talk") as source:
        assert source.count == len(read_track("talk"))


@pytest.mark.parametrize("fps", [0.0, -5.0, float("nan"), 1e6])
def test_impossible_rate_is_refused(ramp: str, fps: float) -> None:
    with pytest.raises(UsageError, match="--fps must be"):
        played(ramp, Selection(fps=fps))


def test_unknown_source_lists_what_exists() -> None:
    with pytest.raises(
        UsageError, match="unknown source 'gopher://face': expected one of "
    ) as refusal:
        open_source("gopher://face")
    assert all(row.pattern in str(refusal.value) for row in SOURCES)


def test_every_pattern_means_its_own_row() -> None:
    for row in SOURCES:
        assert next(other for other in SOURCES if other.matches(row.pattern)) is row


def test_absent_track_is_refused() -> None:
    with (
        pytest.raises(InputError, match="no track file 'nowhere.json'"),
        open_source("nowhere.json"),
    ):
        pytest.fail("it opened")


def test_a_clip_is_not_a_track_and_the_message_says_what_to_write() -> None:
    with (
        pytest.raises(UsageError, match="write video:my clip.MOV to track the face"),
        open_source("my clip.MOV"),
    ):
        pytest.fail("it opened")


def test_rows_describe_themselves() -> None:
    assert all(row.name and row.pattern and row.description for row in SOURCES)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("talk", True),
        ("checkpoint/", True),
        ("a:b.json", True),
        ("C:\\tracks\\me.npz", True),
        ("udp://:9000", False),
        ("webcam:0", False),
        ("video:clip.mp4", False),
        ("osc:39539", False),
    ],
)
def test_paths_are_told_from_addresses(target: str, path: bool) -> None:
    (row,) = [row for row in SOURCES if row.name == "track"]
    assert row.matches(target) is path


def test_a_path_that_looks_like_an_address_is_one_where_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "take:2").mkdir()
    (row,) = [row for row in SOURCES if row.name == "track"]
    assert row.matches("take:2")


@pytest.mark.parametrize("name", ["metrical-tracker", "vhap", "smirk"])
def test_trackers_files_and_folders_are_played(tmp_path: Path, name: str) -> None:
    suffix = {"metrical-tracker": ".frame", "vhap": ".npz", "smirk": ".pt"}[name]
    path = write_motion(name, tmp_path / "made", motion(), suffix)
    with open_source(str(path), Selection(slice(1, None))) as source:
        frames = list(source.frames)
        assert (len(frames), source.count) == (2, 2)
        assert (source.edition, source.fps) == (read_track(path).edition, 25.0)
        assert source.notes == read_track(path).notes != ()
        np.testing.assert_array_equal(frames[0].expression, motion().expression[1, :50])
