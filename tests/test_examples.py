"""Every script of examples/ runs, and what it writes is right."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from imavatar_deploy import load_checkpoint, open_avatar, read_track
from imavatar_deploy.fidelity import read_fidelity
from imavatar_deploy.runtime import Player

from .processes import run_process
from .test_public_face import FACE

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
LIMIT = 600.0
"""Seconds of one example. The slowest needs 14 on two cores, and ten times as many where other
programs use them, too."""

Picture = NDArray[np.uint8]


def picture(path: Path, height: int, width: int) -> Picture:
    """[H, W, 3] of an image of this size that is not nearly uniform."""
    image = cv2.imread(str(path))
    assert image is not None, f"{path} is not an image"
    assert image.shape == (height, width, 3)
    assert image.std() > 20, "it shows nothing"
    return np.asarray(image)


def parts(image: Picture, count: int) -> list[NDArray[np.float64]]:
    """The pictures that stand beside each other in a strip, each with a head in it."""
    strip = [part.astype(np.float64) for part in np.split(image, count, axis=1)]
    for part in strip:
        covered = (np.abs(part - part[0, 0]).max(axis=-1) > 20).mean()
        assert 0.15 < covered < 0.9, "a head covers part of each picture"
    return strip


def differ(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Mean absolute difference of two pictures, 0..255."""
    return float(np.abs(first - second).mean())


def numbers(pattern: str, output: str) -> list[float]:
    """What the group of a pattern matches in a script's output, as numbers."""
    matches = [float(match) for match in re.findall(pattern, output)]
    assert matches, f"no {pattern!r} in {output!r}"
    return matches


def check_play(out: Path, output: str) -> None:
    with av.open(str(out / "01_talk.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == 75
    assert frames[0].shape == (256, 256, 3)
    assert differ(frames[0].astype(float), frames[60].astype(float)) > 3, "the head moves"
    picture(out / "01_sheet.png", 1024, 1536)
    assert "75 frames" in output


def check_callback(out: Path, output: str) -> None:
    strip = parts(picture(out / "02_moments.png", 192, 6 * 192), 6)
    assert differ(strip[0], strip[5]) > 1, "the head moves"
    assert numbers(r"drew (\d+) images", output)[0] >= 30
    assert "kept 6" in output


def check_udp(out: Path, output: str) -> None:
    strip = parts(picture(out / "03_received.png", 192, 5 * 192), 5)
    assert max(differ(strip[0], part) for part in strip) > 5, "the packets move the head"
    drawn = numbers(r"drew (\d+) images", output)[0]
    assert drawn >= 10
    assert numbers(r"(\d+) of them before", output)[0] < drawn / 2


def check_source(out: Path, output: str) -> None:
    strip = parts(picture(out / "04_mouth.png", 192, 6 * 192), 6)
    assert max(differ(strip[0], part) for part in strip) > 8, "the head turns"
    assert numbers(r"of (\d+) observations", output) == [60]


def check_sink(out: Path, output: str) -> None:
    image = picture(out / "05_talk.exposure.png", 320, 320)
    track = read_track("talk").select(slice(0, 120, 3))
    with Player("sample", size=320, background="#ffffff") as player:
        images = [player.render(frame.expression, frame.pose) for frame in track.frames()]
    mean = np.mean(images, axis=0)[..., 2::-1]
    assert np.abs(image - mean).max() < 0.51
    assert "40 images in one" in output


def check_format(out: Path, output: str) -> None:
    data = (out / "06_print" / "head.stl").read_bytes()
    count = int.from_bytes(data[80:84], "little")
    assert len(data) == 84 + 50 * count
    assert numbers(r"(\d+) triangles", output) == [count]
    rows = np.frombuffer(data[84:], np.uint8).reshape(count, 50)
    corners = rows[:, 12:48].copy().view("<f4").reshape(count, 3, 3)
    size = np.ptp(corners.reshape(-1, 3), axis=0)
    assert np.all((size > 150) & (size < 700)), "a head and shoulders in millimetres"
    volume = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert 4e6 < volume < 2e7, "litres, and its triangles face outwards"
    assert "checks passed: True" in output
    assert open_avatar(out / "06_print").manifest["graphs"]["stl"]["triangles"] == count


def check_export(out: Path, output: str) -> None:
    folder = open_avatar(out / "07_avatar")
    assert 6_000 < len(folder.avatar.faces) <= 8_000
    report = read_fidelity(out / "07_avatar")
    baked = report.stage("baked")
    assert report.passed
    assert baked is not None
    assert 28 < baked.measures["psnr"] < 50
    assert numbers(r"implicit -> baked: ([\d.]+) dB", output)[0] == pytest.approx(
        baked.measures["psnr"], abs=0.06
    )
    strip = parts(picture(out / "07_avatar.png", 256, 3 * 256), 3)
    assert min(differ(strip[0], strip[1]), differ(strip[1], strip[2])) > 8, "the head turns"


def check_train(out: Path, output: str) -> None:
    assert load_checkpoint(out / "08_run").edition == "openhead"
    assert 15 < numbers(r"PSNR ([\d.]+) dB", output)[-1] < 30
    assert numbers(r"mask IoU ([\d.]+)", output)[-1] > 0.9
    avatar, truth, _ = parts(picture(out / "08_preview.png", 96, 3 * 96), 3)
    assert differ(avatar, truth) < 0.5 * differ(truth, np.full_like(truth, 255.0))


def check_evaluate(out: Path, output: str) -> None:
    report = json.loads((out / "09_report" / "report.json").read_text())
    metrics = report["metrics"]
    assert metrics["mask IoU"]["mean"] > 0.98
    assert 20 < metrics["PSNR"]["mean"] < 40
    assert len(report["frames"]) == 3
    assert numbers(r"PSNR: mean ([\d.]+)", output)[0] == pytest.approx(
        metrics["PSNR"]["mean"], rel=1e-3
    )
    assert "normal cosine: not measured" in output
    sheet = cv2.imread(str(out / "09_report" / "contact_sheet.png"))
    assert sheet.shape[0] > 300
    assert sheet.std() > 20


def check_sequences(out: Path, output: str) -> None:
    baked = out / "10_baked"
    header = (baked / "head.pc2").read_bytes()[:32]
    vertices = open_avatar("sample").avatar.vertex_count
    assert int.from_bytes(header[16:20], "little") == vertices
    assert int.from_bytes(header[28:32], "little") == 71
    assert len(list((baked / "ply").glob("*.ply"))) == 71
    assert 5 < numbers(r"moves ([\d.]+) mm", output)[0] < 200
    image = picture(out / "10_motion.png", 400, 400)
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 100, "a scale of colours"


def check_numpy(out: Path, output: str) -> None:
    neutral, smile, pout = parts(picture(out / "11_relief.png", 256, 3 * 256), 3)
    assert min(differ(neutral, smile), differ(neutral, pout), differ(smile, pout)) > 0.3
    mouth = slice(int(0.44 * 256), int(0.58 * 256))  # rows from the nose to the chin
    changes = np.abs(neutral - smile).mean(axis=(1, 2))
    assert changes[mouth].mean() > 2 * changes[:64].mean(), "a smile is in the mouth's rows"
    assert "expression_basis" in output


def check_onnx(out: Path, output: str) -> None:
    (image,) = parts(picture(out / "12_triangles.png", 320, 320), 1)
    blue, green, red = image[290:310, 100:220].mean(axis=(0, 1))
    assert green > 1.2 * max(blue, red), "a green shirt"
    blue, green, red = image[150:165, 140:180].mean(axis=(0, 1))
    assert red > green > blue, "skin"


def check_compare(out: Path, output: str) -> None:
    assert min(numbers(r"PSNR ([\d.]+) dB, SSIM", output)) > 28
    assert len(numbers(r"mask IoU ([\d.]+)", output)) == 3
    assert min(numbers(r"mask IoU ([\d.]+)", output)) > 0.98
    baked = read_fidelity("sample").stage("baked")
    assert baked is not None
    assert f"sample: implicit -> baked {baked.measures['psnr']:.1f} dB" in output
    image = picture(out / "13_side_by_side.png", 3 * 224, 3 * 224).astype(float)
    first, second, difference = np.split(image, 3, axis=1)
    assert 0 < differ(first, second) < 5
    assert 200 < difference.mean() < 255


def check_convert(out: Path, output: str) -> None:
    track = read_track(out / "14_flame_params.json")
    assert (len(track), track.fps, track.edition) == (79, 50.0, "flame2023")
    assert 0.45 < track.expression[:, 0].max() <= 0.5, "halved"
    assert 0.35 < track.pose[:, 1].max() <= 0.4
    assert "not in a track: static_offset" in output
    image = cv2.imread(str(out / "14_curves.png"))
    assert image.shape == (240, 640, 3)
    assert 0.005 < (image != 255).any(axis=-1).mean() < 0.1, "two lines on white"


def check_landmarks(out: Path, output: str) -> None:
    image = picture(out / "15_landmarks.png", 320, 1280)
    for part in np.split(image, 4, axis=1):
        green = (part == (0, 160, 0)).all(axis=-1)
        assert 500 < green.sum() < 3000, "478 points"
    gaps = [float(value) for value in re.findall(r"confidence 1.00, lips ([0-9.]+) pixels", output)]
    assert len(gaps) == 4
    assert gaps[1] > 10 > 3 > gaps[0]
    assert "strongest shape jawOpen" in output


CHECKS: dict[str, Callable[[Path, str], None]] = {
    "01_play_a_track": check_play,
    "02_drive_by_a_callback": check_callback,
    "03_live_from_udp": check_udp,
    "04_own_source": check_source,
    "05_own_sink": check_sink,
    "06_own_export_format": check_format,
    "07_export_an_avatar": check_export,
    "08_train_an_avatar": check_train,
    "09_evaluate_frames": check_evaluate,
    "10_bake_sequences": check_sequences,
    "11_read_a_folder_with_numpy": check_numpy,
    "12_onnx_runtime_alone": check_onnx,
    "13_compare_two_avatars": check_compare,
    "14_convert_a_tracker_file": check_convert,
    "15_landmarks_of_a_face": check_landmarks,
}
MADE_FROM = {"13_compare_two_avatars": "07_export_an_avatar"}
"""What takes the files of another example where they are there."""

Run = Callable[[str], tuple[Path, str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs an example once for all tests; gives its folder and its output."""
    out = tmp_path_factory.mktemp("examples")
    outputs: dict[str, str] = {}
    # Threads that wait by spinning slow each other down where other programs need the cores.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}

    def run_example(name: str) -> tuple[Path, str]:
        if name not in outputs:
            if name in MADE_FROM:
                run_example(MADE_FROM[name])
            command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), str(out)]
            result = run_process(command, limit=LIMIT, cwd=out, env=environment)
            assert result.returncode == 0, result.stderr
            outputs[name] = result.stdout
        return out, outputs[name]

    return run_example


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_an_example_writes_what_it_says(name: str, run: Run) -> None:
    out, output = run(name)
    CHECKS[name](out, output)
    written = set(
        re.findall(rf"\b{name[:2]}_\w+(?:\.\w+)*", documentation(EXAMPLES / f"{name}.py"))
    )
    written -= {name, f"{name}.py"}
    assert written, "the docstring names what is written"
    for file in written:
        assert (out / file).exists(), file


def documentation(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def test_every_script_is_numbered_and_tested() -> None:
    assert [path.stem for path in SCRIPTS] == list(CHECKS)
    assert [int(path.stem[:2]) for path in SCRIPTS] == list(range(1, len(SCRIPTS) + 1))
    others = {path.name for path in EXAMPLES.iterdir()} - {path.name for path in SCRIPTS}
    assert others <= {"README.md", "first_steps.ipynb", "out", "web", "__pycache__"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_says_what_it_shows_and_needs(path: Path) -> None:
    text, source = documentation(path), path.read_text(encoding="utf-8")
    assert len(text.splitlines()[0]) > 20
    assert text.splitlines()[0].endswith(".")
    assert f"\n    python examples/{path.name} [FOLDER]" in text
    assert "\nNeeds: " in text
    assert re.search(r"\bWrites\s", text)
    assert 20 <= len(source.splitlines()) <= 70


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("argument", ["--help", "a_file"])
def test_an_option_or_a_file_as_folder_ends_with_the_usage(
    argument: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a_file").touch()
    monkeypatch.setattr(sys, "argv", [str(path), argument])
    with pytest.raises(SystemExit, match=re.escape(f"python examples/{path.name} [FOLDER]")):
        runpy.run_path(str(path), run_name="__main__")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a_file"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_imports_public_names_alone(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("imavatar_deploy.") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("imavatar"):
            assert node.module in FACE
            face = importlib.import_module(node.module)
            assert {alias.name for alias in node.names} <= set(face.__all__)


@pytest.mark.parametrize("name", ["11_read_a_folder_with_numpy", "12_onnx_runtime_alone"])
def test_readers_of_the_format_do_without_the_package(name: str) -> None:
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert not re.search(r"^\s*(import|from) imavatar_deploy", source, re.MULTILINE)


def test_the_readme_lists_every_script() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[(\w+)\]\((\w+)\.py\) \| .{20,} \| .+ \|$", text, re.MULTILINE)
    assert listed == [(path.stem, path.stem) for path in SCRIPTS]
