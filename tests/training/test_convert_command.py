"""`imavatar-data convert`: every readable format to every writable one, its notes and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.retarget import ExpressionMap, write_map
from imavatar_deploy.tracks import TRACK_FORMATS, FlameTrack, read_track, write_track
from imavatar_deploy.training.commands.data import data

from ..tracks.tracker_files import CODES, FRAMES, PIXELS, WHOLE, WRITERS, motion, write_motion

SOURCES = sorted([*CODES, *WHOLE])
TARGETS = [suffix for row in TRACK_FORMATS.values() if row.write for suffix in row.suffixes]


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(data, ["convert", *map(str, arguments)])


def written(name: str, folder: Path, frames: int = FRAMES) -> Path:
    suffix = next(suffix for suffix in TRACK_FORMATS[name].suffixes if suffix in WRITERS)
    return write_motion(name, folder / "written", motion(frames), suffix)


def test_the_help_names_every_format() -> None:
    text = call("--help").output
    for row in TRACK_FORMATS.values():
        assert f"  {row.name} " in text
        assert " ".join(row.suffixes) in text


@pytest.mark.parametrize("suffix", TARGETS)
@pytest.mark.parametrize("name", SOURCES)
def test_every_format_to_every_other(tmp_path: Path, name: str, suffix: str) -> None:
    source, out = written(name, tmp_path), tmp_path / f"out{suffix}"
    result = call(source, out, "--no-cameras")
    assert result.exit_code == 0, result.output
    before, after = read_track(source), read_track(out)
    np.testing.assert_allclose(after.expression, before.expression, atol=1e-6)
    np.testing.assert_allclose(after.pose, before.pose, atol=1e-6)
    assert (after.edition, after.fps, after.names, after.cameras) == (
        before.edition,
        before.fps,
        before.names,
        (),
    )
    assert f"{FRAMES} frames at 25 a second of {before.edition}, without cameras" in result.output
    assert f"next: imavatar-run AVATAR --source {out} --sink motion.mp4" in result.output
    for note in before.notes:
        assert f"note: {note}" in result.output


@pytest.mark.parametrize("name", sorted(set(PIXELS) - {"vhap"}))
def test_a_still_head_is_turned(tmp_path: Path, name: str) -> None:
    HeadModel.load("openhead")
    source = written(name, tmp_path)
    plain, exact = tmp_path / "plain.json", tmp_path / "exact.json"
    result = call(source, plain, "--turn-head")
    assert "note: the head turns about OpenHead's root joint; --head-model FILE" in result.output
    assert (
        call(
            source, exact, "--turn-head", "--head-model", "openhead", "--edition", "openhead"
        ).exit_code
        == 0
    )
    one, other = read_track(plain), read_track(exact)
    np.testing.assert_array_equal(one.pose, other.pose)
    assert np.abs(one.pose[:, :3]).max() > 0.05
    shift = [
        a.world_to_camera[:, 3] - b.world_to_camera[:, 3]
        for a, b in zip(one.cameras, other.cameras, strict=True)
    ]
    assert 0 < np.linalg.norm(shift, axis=1).max() < 0.2


def test_frames_rates_and_editions(tmp_path: Path) -> None:
    source, out = written("smirk", tmp_path, frames=10), tmp_path / "out.json"
    options = ("--frames", "2:8", "--recorded-fps", "30", "--fps", "15", "--edition", "flame2019")
    assert call(source, out, *options).exit_code == 0
    track = read_track(out)
    assert (track.fps, track.edition, track.names) == (
        15.0,
        "flame2019",
        ("00002", "00004", "00006"),
    )
    np.testing.assert_allclose(track.pose[:, 6:9], motion(10).jaw[2:8:2], atol=1e-6)


WRONG: list[tuple[tuple[str, ...], int, str]] = [
    (("nowhere", "out.json"), 6, "there is no track file 'nowhere'"),
    (
        ("talk", "out.wav"),
        2,
        "no track can be written as 'out.wav': expected flame_params (.json), vhap (.npz)",
    ),
    (("talk", "out.json", "--edition", "flame1999"), 2, "unknown head-model edition 'flame1999'"),
    (("talk", "out.json", "--frames", "900:"), 2, "holds no frame of this track"),
    (("talk", "out.json", "--fps", "0"), 2, "--fps must be"),
    (("talk", "out.json", "--recorded-fps", "0"), 6, "fps must be positive"),
    (
        ("talk", "out.json", "--head-model", "openhead"),
        2,
        "--head-model is only used with --turn-head",
    ),
]


@pytest.mark.parametrize(("arguments", "code", "sentence"), WRONG)
def test_refusals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*arguments)
    assert result.exit_code == code
    assert sentence in result.output
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_turn(tmp_path: Path) -> None:
    result = call(written("deca", tmp_path), tmp_path / "out.json", "--turn-head")
    assert result.exit_code == 2
    assert "no cameras whose rotation" in result.output


def test_a_head_model_of_another_edition(tmp_path: Path) -> None:
    result = call(
        written("pixel3dmm", tmp_path),
        tmp_path / "out.json",
        "--turn-head",
        "--head-model",
        "openhead",
    )
    assert result.exit_code == 6
    assert "openhead was asked for" in result.output or "flame2020" in result.output
    assert not (tmp_path / "out.json").exists()


def test_an_earlier_file_survives(tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    write_track(FlameTrack(np.zeros((1, 50)), np.zeros((1, 15))), out)
    before = out.read_bytes()
    assert call(written("metrical-tracker", tmp_path), out).exit_code == 2
    assert out.read_bytes() == before


def test_a_map_makes_it_a_motion_of_another_head_model(tmp_path: Path) -> None:
    rng, out = np.random.default_rng(0), tmp_path / "out.json"
    track = FlameTrack(rng.random((4, 50)), 0.1 * rng.normal(size=(4, 15)), edition="openhead")
    write_track(track, tmp_path / "in.json")
    expression_map = ExpressionMap("openhead", "flame2020", 0.5 * np.eye(59), np.zeros(59))
    write_map(expression_map, tmp_path / "map.npz")
    result = call(tmp_path / "in.json", out, "--map", tmp_path / "map.npz")
    assert result.exit_code == 0, result.output
    after = read_track(out)
    assert after.edition == "flame2020"
    np.testing.assert_allclose(after.expression, 0.5 * track.expression, atol=1e-5)
    np.testing.assert_allclose(after.pose[:, :6], track.pose[:, :6], atol=1e-5)
    np.testing.assert_allclose(after.pose[:, 6:], 0.5 * track.pose[:, 6:], atol=1e-5)


def test_a_map_of_another_head_model_is_refused(tmp_path: Path) -> None:
    write_track(
        FlameTrack(np.zeros((2, 50)), np.zeros((2, 15)), edition="flame2023"), tmp_path / "in.json"
    )
    expression_map = ExpressionMap("openhead", "flame2020", np.eye(59), np.zeros(59))
    write_map(expression_map, tmp_path / "map.npz")
    result = call(tmp_path / "in.json", tmp_path / "out.json", "--map", tmp_path / "map.npz")
    assert result.exit_code == 6
    assert "is a map from openhead and the stream is of flame2023" in result.stderr
    assert not (tmp_path / "out.json").exists()
