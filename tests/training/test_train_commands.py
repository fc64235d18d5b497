"""`imavatar-train`: precedence of options, files and presets; resuming; error messages; help."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from imavatar_deploy.camera import Camera
from imavatar_deploy.model.checkpoint import load_variant
from imavatar_deploy.tracks import FlameTrack, flame_params
from imavatar_deploy.training.commands.train import train
from imavatar_deploy.training.config_file import read_config
from imavatar_deploy.training.run_training import DEVICES
from imavatar_deploy.training.settings import TrainSettings

from ..commands import ROOT
from ..processes import Child, run_process, started

CONFIG = """
warm_start = false
[networks]
geometry_layers = [48, 48, 48]
geometry_skip = [2]
geometry_frequencies = 2
feature = 8
deformation_layers = [16, 16]
texture_layers = [16, 16]
[schedule]
pixels = 32
validation_frames = 1
validation_size = 16
[tracer]
resolution = 64
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames of a grey disc."""
    folder = tmp_path_factory.mktemp("data") / "disc"
    cameras = (Camera.looking_at(np.zeros(3)),) * 3
    track = FlameTrack(np.zeros((3, 50)), np.zeros((3, 15)), cameras, edition="openhead")
    row, column = np.mgrid[:16, :16] - 8
    mask = np.where(row**2 + column**2 < 25, 255, 0).astype(np.uint8)
    for kind, picture in (("image", np.full((16, 16, 3), 120, dtype=np.uint8)), ("mask", mask)):
        (folder / kind).mkdir(parents=True)
        for name in track.names:
            cv2.imwrite(str(folder / kind / f"{name}.png"), picture)
    flame_params.write(track, folder / "flame_params.json")
    return folder


@pytest.fixture(scope="module")
def config(dataset: Path) -> Path:
    path = dataset.parent / "small.toml"
    path.write_text(CONFIG)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(train, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(dataset: Path, config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    result = run(
        dataset, "--out", out, "--config", config, "--size", "16", "--steps", "2", "--seed", "5"
    )
    assert result.exit_code == 0, result.output
    assert f"next: imavatar-export {out}" in result.output
    assert "validation at step 2" in result.output
    figures = r"at step 2: PSNR \d+\.\d\d dB, mask IoU 0\.\d{4}, RGB L1 \d\.\d{4}, on 1 training"
    assert re.search(figures, result.output), result.output
    return out


def test_options_win_over_the_file_and_the_file_over_the_preset(trained: Path) -> None:
    settings = read_config(trained / "config.toml", TrainSettings())
    assert (settings.seed, settings.schedule.steps, settings.schedule.pixels) == (5, 2, 32)
    assert settings.optimiser.matrix_rate > 0.0  # the tiny preset's
    assert load_variant(trained).sizes == settings.networks


def test_a_finished_run_continues_when_its_length_is_raised(trained: Path, dataset: Path) -> None:
    result = run(dataset, "--out", trained, "--steps", "3", "--resume")
    assert result.exit_code == 0, result.output
    assert "resuming from step 2" in result.output
    assert len((trained / "losses.jsonl").read_text().splitlines()) == 3


def test_the_settings_of_a_run_stay(trained: Path, dataset: Path) -> None:
    for changes in (
        ("--variant", "fwd-skin"),
        ("--seed", "6"),
        ("--no-warm-start",),
        ("--exact-tracking",),
    ):
        result = run(dataset, "--out", trained, "--resume", *changes)
        assert result.exit_code == 2
        assert f"--resume keeps the settings of the run: leave {changes[0]} out" in result.output
    result = run(dataset, "--out", trained, "--resume", "--size", "32", "--steps", "9")
    assert result.exit_code == 6
    assert "started with frames of 16 pixels, got 32" in result.output


def test_every_picture_is_read_before_the_run_begins(
    dataset: Path, config: Path, tmp_path: Path
) -> None:
    spoilt = tmp_path / "spoilt"
    shutil.copytree(dataset, spoilt)
    (spoilt / "image" / "3.png").write_bytes(b"nothing")
    result = run(
        spoilt, "--out", tmp_path / "run", "--config", config, "--size", "16", "--steps", "1"
    )
    assert result.exit_code == 6
    assert "3.png" in result.output
    assert not (tmp_path / "run").exists()


def test_exact_tracking_leaves_inputs_alone(
    trained: Path, config: Path, dataset: Path, tmp_path: Path
) -> None:
    assert read_config(trained / "config.toml", TrainSettings()).inputs.pose
    result = run(
        dataset,
        "--out",
        tmp_path / "run",
        "--size",
        "16",
        "--steps",
        "1",
        "--config",
        config,
        "--exact-tracking",
    )
    assert result.exit_code == 0, result.output
    assert "pose_drift" not in (tmp_path / "run" / "losses.jsonl").read_text()


def test_from_takes_the_sizes_of_the_checkpoint(
    trained: Path, dataset: Path, tmp_path: Path
) -> None:
    result = run(
        dataset, "--out", tmp_path / "run", "--from", trained, "--size", "16", "--steps", "1"
    )
    assert result.exit_code == 0, result.output
    assert load_variant(tmp_path / "run").sizes == load_variant(trained).sizes


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--preset", "huge"], 2, "unknown preset 'huge': expected one of full, small, tiny"),
        (["--variant", "imavater"], 2, "unknown variant 'imavater'.*did you mean 'imavatar'"),
        (["--tracer", "marsh"], 2, "unknown tracer 'marsh'.*did you mean 'march'"),
        (
            ["--frames", "a:b"],
            2,
            "--frames must be like 0:100, 50: or ::2 \\(first:end:step\\), got 'a:b'",
        ),
        (["--device", "tpu"], 2, r"device \(--device\) must be one of auto, cpu"),
        (["--resume"], 6, r"holds no run to resume .*; start one without --resume"),
        (["--resume", "--overwrite"], 2, "--resume keeps the settings of the run"),
        (["--config", "none.toml"], 6, "none.toml cannot be read as a configuration"),
        (["--epochs", "0"], 2, "--epochs must be positive, got 0"),
        (["--minutes", "-1"], 2, "--minutes must be positive, got -1.0"),
        (["--seed", "-1"], 2, "seed must not be negative, got -1"),
        (["--steps", "2", "--minutes", "1"], 2, "expected one length, got --steps and --minutes"),
    ],
)
def test_mistakes_are_sentences(
    dataset: Path, tmp_path: Path, arguments: list[str], code: int, sentence: str
) -> None:
    result = run(dataset, "--out", tmp_path / "run", "--size", "16", *arguments)
    assert result.exit_code == code, result.output
    assert len(result.output.strip().splitlines()) == 1
    assert re.search(sentence, result.output), result.output
    assert not (tmp_path / "run").exists()


def test_help_has_examples_and_choices() -> None:
    text = run("--help").output
    assert "imavatar-train data/female1 --out run --preset tiny" in text
    for name in ("imavatar-minus", "b-morph", "raster", "march", "config.toml", ", ".join(DEVICES)):
        assert name in text


def test_the_line_for_several_processes_works() -> None:
    """The printed line, in the root of the repository, which has a folder of the package's name."""
    (line,) = [line for line in run("--help").output.splitlines() if "torchrun" in line]
    program, *arguments = shlex.split(line)
    assert program == "torchrun"
    own = arguments.index("imavatar-train") + 1
    launcher = [sys.executable, "-m", "torch.distributed.run", *arguments[:own]]
    launcher[launcher.index("--nproc-per-node") + 1] = "1"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    result = run_process([*launcher, "--help"], cwd=ROOT, env={**os.environ, "PATH": path})
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Usage: imavatar-train")
    options = [argument for argument in arguments[own:] if argument.startswith("--")]
    assert options
    assert set(options) <= {name for parameter in train.params for name in parameter.opts}


def test_it_is_started_as_a_module_too() -> None:
    result = run_process([sys.executable, "-m", str(train.callback.__module__), "--help"])
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Usage: python -m imavatar_deploy.training.commands.train")


# Interruption


TRAIN = [sys.executable, "-m", str(train.callback.__module__)]


def wait_for(condition: Callable[[], bool], child: Child) -> None:
    while not condition():  # `started` ends a child that takes too long
        assert child.process.poll() is None, child.stderr()
        time.sleep(0.02)


def steps(run: Path) -> list[int]:
    """Steps whose losses are logged completely."""
    path = run / "losses.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["step"] for line in lines if line.endswith("}")]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupted_training_saves_its_step_and_states_how_to_continue(
    dataset: Path, config: Path, tmp_path: Path
) -> None:
    run = tmp_path / "a run"
    begin = [str(dataset), "--out", str(run), "--config", str(config), "--size", "16"]
    with started([*TRAIN, *begin, "--steps", "1000000", "--seed", "5"], cwd=ROOT) as child:
        wait_for(lambda: len(steps(run)) > 2, child)
        child.process.send_signal(signal.SIGINT)
        result = child.finish()
    assert result.returncode == 130, result.stderr
    last = steps(run)[-1]
    assert torch.load(run / "state.pt", weights_only=True)["step"] == last
    *_, line = result.stderr.splitlines()
    sentence, command = line.split("continue with: ")
    assert sentence.endswith("interrupted, ")
    program, *arguments = shlex.split(command)
    assert program == "imavatar-train"
    more = ["--steps", str(last + 2)]
    result = run_process([*TRAIN, *arguments, *more], cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert f"resuming from step {last}" in result.stderr
    assert steps(run) == list(range(1, last + 3))
