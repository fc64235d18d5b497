"""The training loop: small runs learn, resume after a kill, and end with an error on divergence."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import torch

from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError, QualityError, UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.checkpoint import load_variant
from imavatar_deploy.model.variants import VARIANTS
from imavatar_deploy.training import train
from imavatar_deploy.training.dataset import FrameObservation
from imavatar_deploy.training.frame_parameters import FrameParameters
from imavatar_deploy.training.settings import LossWeights
from imavatar_deploy.training.trainer import Trainer

from ..processes import run_process
from .disc_dataset import FRAMES, SETTINGS, Disc

RUN = Path(__file__).with_name("shared_run.py")


@pytest.fixture(scope="module")
def disc(openhead: HeadModel) -> Any:
    return Disc(openhead)


def losses(run: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def unbroken(disc: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(disc, tmp_path_factory.mktemp("runs") / "unbroken", SETTINGS)


def test_a_run_leaves_what_it_says(unbroken: Path) -> None:
    present = {path.name for path in unbroken.iterdir()}
    assert {
        "config.toml",
        "checkpoint",
        "state.pt",
        "losses.jsonl",
        "validation",
        "tensorboard",
    } <= present
    assert [path.name for path in (unbroken / "validation").iterdir()] == ["000007.png"]
    assert load_variant(unbroken).sizes == SETTINGS.networks
    rows = losses(unbroken)
    assert [row["step"] for row in rows] == list(range(1, 8))
    assert {"loss", "colour", "mask", "skinning", "pose", "expression", "flame_distance"} <= rows[
        0
    ].keys()


def test_every_frame_is_seen_once_an_epoch(
    disc: Any, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = object.__new__(Trainer)
    trainer.settings, trainer.dataset, trainer.epoch_steps = SETTINGS, disc, 3

    class Two:
        world_size = 2

    frames = []
    for step in range(3):
        for Two.global_rank in range(2):  # type: ignore[misc]
            trainer.fabric = Two()
            frames.append(trainer._draw(step)[0])
    assert set(frames) == set(range(FRAMES))
    assert len(frames) == 6  # five frames for two processes: one frame twice


class Killed(BaseException):
    """Simulates SIGKILL: no handler catches it."""


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a run save its state one step before the given one, and end at the given one."""

    def arm(steps: int) -> None:
        original = Trainer._run_periodic_tasks

        def run_periodic_tasks(self: Trainer, log: Any) -> None:
            original(self, log)
            if self.clock.step == steps - 1:
                self.save()
            if self.clock.step == steps:
                raise Killed

        monkeypatch.setattr(Trainer, "_run_periodic_tasks", run_periodic_tasks)

    return arm


@pytest.mark.parametrize("last", [3, 6])
def test_a_killed_run_resumes_to_the_same_numbers(
    disc: Any,
    unbroken: Path,
    killed_at: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    last: int,
) -> None:
    """Killed one step after the checkpoint, at a refresh of the tracer and between two."""
    with monkeypatch.context(), pytest.raises(Killed):
        killed_at(last)
        train(disc, tmp_path / "run", SETTINGS)
    monkeypatch.undo()
    train(disc, tmp_path / "run", SETTINGS, resume=True)
    assert losses(tmp_path / "run") == losses(unbroken)
    resumed, whole = (
        torch.load(run / "state.pt", weights_only=True) for run in (tmp_path / "run", unbroken)
    )
    for part in ("model", "inputs"):
        for name, tensor in whole[part].items():
            torch.testing.assert_close(resumed[part][name], tensor, rtol=0, atol=0)


def test_inputs_of_seen_frames_move_and_networks_learn(disc: Any, unbroken: Path) -> None:
    state = torch.load(unbroken / "state.pt", weights_only=True)
    assert (state["inputs"]["pose"] - torch.from_numpy(disc.track.pose)).abs().max() > 1e-4
    torch.testing.assert_close(
        state["inputs"]["expression"], torch.from_numpy(disc.track.expression)
    )
    rows = losses(unbroken)
    assert np.mean([row["colour"] for row in rows[-3:]]) < np.mean(
        [row["colour"] for row in rows[:3]]
    )


def test_an_existing_run_is_not_touched(disc: Any, unbroken: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"already holds a run; pass resume=True \(--resume\) to continue it, or "
        r"overwrite=True \(--overwrite\) to replace it",
    ):
        train(disc, unbroken, SETTINGS)


def test_a_strange_folder_is_not_touched(disc: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("dear")
    with pytest.raises(UsageError, match="exists and is not a training run"):
        train(disc, tmp_path, SETTINGS, overwrite=True)
    assert (tmp_path / "mine.txt").exists()


def test_resuming_with_other_frames_is_refused(openhead: HeadModel, unbroken: Path) -> None:
    with pytest.raises(
        InputError, match=r"started with 5 frames, and the dataset has 4; .* frames \(--frames\)"
    ):
        train(Disc(openhead, count=4), unbroken, SETTINGS, resume=True)  # type: ignore[arg-type]


@pytest.fixture
def nan_at(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Disc.observation

    def observation(self: Disc, index: int) -> FrameObservation:
        frame = original(self, index)
        return replace(frame, image=np.full_like(frame.image, np.nan)) if index == 2 else frame

    monkeypatch.setattr(Disc, "observation", observation)


def test_a_loss_that_is_not_a_number_ends_the_run(disc: Any, nan_at: None, tmp_path: Path) -> None:
    with pytest.raises(QualityError, match=r"^the colour loss became nan at step \d, frame 3: "):
        train(disc, tmp_path / "run", SETTINGS)
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert all(tensor.isfinite().all() for tensor in state["model"].values())


def test_an_avatar_that_is_never_met_ends_the_run(openhead: HeadModel, tmp_path: Path) -> None:
    away = Disc(openhead)
    turned = Camera.looking_at(np.array([0.0, 5.0, 0.0]))  # looks past it
    away.track = replace(away.track, cameras=(turned,) * FRAMES)
    settings = replace(SETTINGS, schedule=replace(SETTINGS.schedule, vanished_steps=2))
    with pytest.raises(
        QualityError, match="vanished at step 1: for 2 steps no ray .* imavatar-data check"
    ):
        train(away, tmp_path / "run", settings)  # type: ignore[arg-type]


def test_minutes_are_a_length_of_their_own(disc: Any, tmp_path: Path) -> None:
    settings = replace(SETTINGS, schedule=replace(SETTINGS.schedule, minutes=1e-6))
    run = train(disc, tmp_path / "run", settings)
    assert losses(run) == []
    assert (run / "checkpoint").is_dir()


def test_weights_of_a_checkpoint_begin_a_run(disc: Any, unbroken: Path, tmp_path: Path) -> None:
    none = replace(SETTINGS, schedule=replace(SETTINGS.schedule, minutes=1e-6))
    run = train(disc, tmp_path / "run", none, begin_from=unbroken)
    for name, tensor in load_variant(unbroken).state_dict().items():
        torch.testing.assert_close(load_variant(run).state_dict()[name], tensor)
    wider = replace(none, networks=replace(SETTINGS.networks, feature=9))
    with pytest.raises(InputError, match="and the run wants imavatar with"):
        train(disc, tmp_path / "other", wider, begin_from=unbroken)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_trains(disc: Any, variant: str, tmp_path: Path) -> None:
    lines: list[str] = []
    settings = replace(
        SETTINGS,
        variant=variant,
        losses=LossWeights(space=100.0),
        schedule=replace(SETTINGS.schedule, steps=1, validation_size=8),
        tracer=replace(SETTINGS.tracer, samples=16),
    )
    run = train(disc, tmp_path / "run", settings, say=lines.append)
    model = load_variant(run)
    assert model.name == variant
    (row,) = losses(run)
    assert ("skinning" in row) == (VARIANTS[variant].supervised)
    assert row["space"] >= 0.0
    assert ("rays are marched with 16 samples" in lines[0]) == (model.direction == "backward")


def test_latent_codes_are_trained_and_the_first_stands_for_the_others(
    disc: Any, tmp_path: Path
) -> None:
    settings = replace(
        SETTINGS, networks=replace(SETTINGS.networks, latent=4, geometry_layers=(64,) * 3)
    )
    run = train(
        disc, tmp_path / "run", replace(settings, schedule=replace(settings.schedule, steps=FRAMES))
    )
    state = torch.load(run / "state.pt", weights_only=True)
    codes = state["inputs"]["latent"]
    moved = (codes != FrameParameters(disc.track, settings.inputs, 4).latent).any(dim=1)
    assert moved.sum() == FRAMES - 1  # in the first step the network is still blind to codes
    torch.testing.assert_close(load_variant(run).geometry.latent, codes[0])


def run_in_two_processes(out: Path, ending: str) -> CompletedProcess[str]:
    """Train with two processes; `shared_run` explains `ending`."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return run_process([*launcher, str(RUN), str(out), ending], limit=180)


@pytest.mark.slow
def test_two_processes_share_a_run(tmp_path: Path) -> None:
    """Frames are dealt out, gradients averaged, and one process writes."""
    result = run_in_two_processes(tmp_path / "run", "done")
    assert result.returncode == 0, result.stderr
    assert [row["step"] for row in losses(tmp_path / "run")] == [1, 2, 3]
    assert sorted(group_ends(tmp_path)) == [(0, 0), (1, 0)]


@pytest.mark.slow
def test_a_failed_process_leaves_its_group(tmp_path: Path) -> None:
    """The exception holds the frames of the trainer; its module is released all the same."""
    result = run_in_two_processes(tmp_path / "run", "nan")
    assert result.returncode == 1
    assert "loss became nan" in result.stderr
    ends = group_ends(tmp_path)
    assert ends
    assert {modules for _, modules in ends} == {0}


def group_ends(folder: Path) -> list[tuple[int, int]]:
    """The rank of each process that destroyed its group, and its number of live modules."""
    reports = [json.loads(path.read_text()) for path in folder.glob("group_end_*.json")]
    return [(report["rank"], report["modules"]) for report in reports]
