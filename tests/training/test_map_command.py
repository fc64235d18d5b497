"""imavatar-data fit-map: its output, the map it writes, and its error messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.retarget import find_retarget, read_map
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES
from imavatar_deploy.tracks import FlameTrack, write_track
from imavatar_deploy.training.commands.data import data

from .second_heads import mixed, mixing, write_head


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(data, ["fit-map", *map(str, arguments)], env={"COLUMNS": "120"})


@pytest.fixture(scope="module")
def second_head(openhead: HeadModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head-model file in FLAME's keys that does not state its edition."""
    return write_head(tmp_path_factory.mktemp("heads") / "FLAME.npz", mixed(openhead, mixing()))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Five seconds of ARKit weights and of codes, each code a sum of two weights."""
    folder = tmp_path_factory.mktemp("take")
    random = np.random.default_rng(0)
    knots = np.maximum(random.uniform(-1, 1, (152, 52)), 0)
    weights = np.stack(
        [np.interp(np.arange(300) / 2, np.arange(152), column) for column in knots.T], axis=1
    )
    weights[:, ARKIT_NAMES.index("cheekPuff")] = 0.0
    lines = [
        ",".join(
            ["Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in ARKIT_NAMES)]
        )
    ]
    for index, row in enumerate(weights):
        timecode = f"09:00:{index // 60:02d}:{index % 60:02d}.000"
        lines.append(f"{timecode},61,{','.join(f'{value:.6f}' for value in row)}")
    (folder / "take.csv").write_text("\n".join(lines), encoding="utf-8")
    pose = np.zeros((300, 15), dtype=np.float32)
    pose[:, 6] = 0.4 * weights[:, ARKIT_NAMES.index("jawOpen")]
    write_track(
        FlameTrack(weights[:, :50] + weights[:, 1:51], pose, fps=60.0), folder / "flame_params.json"
    )
    return folder / "take.csv", folder / "flame_params.json"


def test_from_shapes(second_head: Path, tmp_path: Path) -> None:
    out = tmp_path / "arkit_to_flame.npz"
    result = call("--from", "openhead", "--to", second_head, "--edition", "flame2020", "--out", out)
    assert result.exit_code == 0, result.output
    assert "same topology: vertex by vertex" in result.output
    assert "the other 41 shapes miss less" in result.output
    assert (
        "arkit52 to flame2020, fitted from the shapes of two head models, 51 samples"
        in result.output
    )
    assert f"wrote {out}" in result.output
    assert (
        f"next: imavatar-run AVATAR --source livelink://0.0.0.0:11111 --sink window --map {out}"
        in result.output
    )
    expression_map = read_map(out)
    assert expression_map.fit is not None
    assert expression_map.fit.made_from == "openhead, FLAME.npz"
    smile = np.zeros(52, dtype=np.float32)
    smile[ARKIT_NAMES.index("mouthSmileLeft")] = 1.0
    still = np.zeros(15, dtype=np.float32)
    expression, _ = find_retarget(ARKIT, "flame2020", (), map_file=out)(smile, still)
    openhead = HeadModel.load("openhead")
    expected = openhead.vertices(
        *find_retarget(ARKIT, "openhead", openhead.expression_names)(smile, still)
    )
    head = HeadModel.load(second_head, edition="flame2020")
    np.testing.assert_allclose(head.vertices(expression, still), expected, rtol=0, atol=1e-5)


def test_codes_from_shapes_lead_to_a_track(second_head: Path, tmp_path: Path) -> None:
    out = tmp_path / "openhead_to_flame.npz"
    result = call(
        "--from",
        "openhead",
        "--codes",
        "--to",
        second_head,
        "--edition",
        "flame2020",
        "--out",
        out,
        "--all-rows",
    )
    assert result.exit_code == 0, result.output
    assert "eyeR.y" in result.output
    assert "miss less" not in result.output
    assert f"--source TRACK --sink out.mp4 --map {out}" in result.output
    assert read_map(out).source == "openhead"


def test_from_pairs(recording: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "mine.npz"
    result = call("--pair", *recording, "--edition", "flame2020", "--out", out)
    assert result.exit_code == 0, result.output
    assert "300 frames in common" in result.output
    assert "explained on held-out frames" in result.output
    assert "without effect: cheekPuff" in result.output
    assert "fitted from recordings of two trackers, 300 samples" in result.output
    expression_map = read_map(out)
    assert expression_map.matrix[3, 2:4] == pytest.approx([1.0, 1.0], abs=0.02)
    assert expression_map.matrix[ARKIT_NAMES.index("jawOpen"), 50] == pytest.approx(0.4, abs=0.01)


def test_takes_of_different_performances_leave_no_map(
    recording: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "mine.npz"
    result = call("--pair", recording[0], "talk", "--out", out)
    assert result.exit_code == 6, result.output
    assert "the recordings do not go together: on held-out frames" in result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ["--out", "{out}"],
            2,
            "expected either --from one head model --to another, or one --pair",
        ),
        (["--from", "openhead", "--out", "{out}"], 2, "expected either --from"),
        (
            ["--from", "openhead", "--to", "a", "--pair", "b", "c", "--out", "{out}"],
            2,
            "expected either --from",
        ),
        (
            ["--pair", "b", "c", "--codes", "--out", "{out}"],
            2,
            "--codes and --ridge are only used with --from",
        ),
        (
            ["--from", "openhead", "--to", "a.pkl", "--offset", "1", "--out", "{out}"],
            2,
            "--offset is only used with --pair",
        ),
        (
            ["--from", "openhead", "--to", "{head}", "--out", "map.json"],
            2,
            "a map is written as .npz",
        ),
        (
            ["--from", "openhead", "--to", "{head}", "--out", "{out}"],
            6,
            "does not say which head model it holds",
        ),
        (
            [
                "--from",
                "{head}",
                "--from-edition",
                "flame2019",
                "--to",
                "openhead",
                "--out",
                "{out}",
            ],
            6,
            "pass --codes",
        ),
        (
            ["--pair", "{csv}", "{track}", "--out", "{out}"],
            6,
            "does not say its head model; give it with --edition",
        ),
        (["--pair", "{csv}", "{csv}", "--out", "{out}"], 6, "exchange the two"),
        (
            ["--pair", "nowhere.csv", "{track}", "--edition", "flame2020", "--out", "{out}"],
            6,
            "cannot be read",
        ),
    ],
)
def test_refusals_are_one_sentence(
    second_head: Path,
    recording: tuple[Path, Path],
    tmp_path: Path,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    places = {
        "out": tmp_path / "map.npz",
        "head": second_head,
        "csv": recording[0],
        "track": recording[1],
    }
    result = call(*(argument.format(**places) for argument in arguments))
    assert result.exit_code == code, result.output
    assert words in result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


def test_the_groups_help_lists_it() -> None:
    assert "fit-map" in CliRunner().invoke(data, ["--help"]).output
