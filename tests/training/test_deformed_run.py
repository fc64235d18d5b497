"""A run whose avatar is damaged while it trains reports warnings; a sound one reports none."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.geometry import Geometry, GeometryNetwork
from imavatar_deploy.model.sizes import NetworkSizes
from imavatar_deploy.model.tracing.posed_field import SignedDistance
from imavatar_deploy.training import train
from imavatar_deploy.training.dataset import FaceDataset
from imavatar_deploy.training.settings import (
    InputSettings,
    OptimiserSettings,
    Schedule,
    TracerSettings,
    TrainSettings,
)
from imavatar_deploy.training.trainer import Trainer
from imavatar_deploy.training.validation import LOBE_SHARE
from imavatar_deploy.training.warm_start.fit_networks import WarmStartSettings

from .drawn_video import write_video

SETTINGS = TrainSettings(
    networks=NetworkSizes(
        geometry_layers=(64,) * 4,
        geometry_skip=(2,),
        feature=16,
        deformation_layers=(64,) * 3,
        deformation_frequencies=4,
        texture_layers=(64,) * 2,
    ),
    optimiser=OptimiserSettings(learning_rate=1e-6, clip=1.0),
    inputs=InputSettings(pose=False, camera=False),
    schedule=Schedule(
        steps=4,
        pixels=64,
        validation_steps=2,
        validation_frames=2,
        validation_size=64,
    ),
    tracer=TracerSettings(refresh_steps=2, resolution=64),
    fit=WarmStartSettings(
        samples=20_000,
        steps=150,
        batch=384,
        learning_rate=3e-3,
        matrix_rate=1.2e-2,
        detail_steps=0,
        deformation_steps=150,
        deformation_batch=384,
    ),
)
DAMAGED_AFTER = 3


@pytest.fixture(scope="module")
def video(openhead: HeadModel, tmp_path_factory: pytest.TempPathFactory) -> FaceDataset:
    folder = tmp_path_factory.mktemp("video")
    write_video(folder, openhead, frames=2)  # both from the front
    return FaceDataset.open([folder], size=64)


@pytest.fixture(scope="module")
def sound(video: FaceDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run and its lines."""
    lines: list[str] = []
    out = tmp_path_factory.mktemp("runs") / "sound"
    return train(video, out, SETTINGS, say=lines.append), lines


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "validation.jsonl").read_text().splitlines()]


def test_a_sound_run_is_measured_from_the_warm_start_on_and_not_warned_about(
    sound: tuple[Path, list[str]],
) -> None:
    run, lines = sound
    assert [row["step"] for row in rows(run)] == [0, 2, 4]
    assert all(row["lobe"] < LOBE_SHARE and "warnings" not in row for row in rows(run))
    assert rows(run)[0]["iou"] > 0.85
    assert not [line for line in lines if line.startswith("warning")]


def test_a_resumed_run_does_not_measure_its_warm_start_again(
    sound: tuple[Path, list[str]], video: FaceDataset, tmp_path: Path
) -> None:
    longer = replace(SETTINGS, schedule=replace(SETTINGS.schedule, steps=0, minutes=1e-6))
    run = train(video, tmp_path / "run", longer, begin_from=sound[0])
    assert [row["step"] for row in rows(run)] == [0]
    train(video, run, SETTINGS, resume=True)
    assert [row["step"] for row in rows(run)].count(0) == 1


@pytest.fixture
def lobe_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """After step `DAMAGED_AFTER` a ball floats in front of the chin."""
    run_periodic_tasks = Trainer._run_periodic_tasks
    forward, distance = GeometryNetwork.forward, SignedDistance.__call__

    def ball(x: torch.Tensor) -> torch.Tensor:
        return (x - x.new_tensor([0.0, -0.45, 0.6])).norm(dim=1) - 0.1

    def with_ball(self: GeometryNetwork, x: torch.Tensor, code: Any = None) -> Geometry:
        sdf, feature = forward(self, x, code)
        return Geometry(torch.minimum(sdf, ball(x)), feature)

    def damaging(self: Trainer, log: Any) -> None:
        if self.clock.step == DAMAGED_AFTER:
            monkeypatch.setattr(GeometryNetwork, "forward", with_ball)
            monkeypatch.setattr(
                SignedDistance,
                "__call__",
                lambda self, x: torch.minimum(distance(self, x), ball(x)),
            )
        run_periodic_tasks(self, log)

    monkeypatch.setattr(Trainer, "_run_periodic_tasks", damaging)


def test_a_lobe_within_the_silhouette_is_noticed(
    sound: tuple[Path, list[str]], video: FaceDataset, lobe_at: None, tmp_path: Path
) -> None:
    """Only the warning about depth is given: the masks fit as before."""
    lines: list[str] = []
    run = train(video, tmp_path / "run", SETTINGS, begin_from=sound[0], say=lines.append)
    earlier, later = rows(run)[1:]
    assert earlier["lobe"] < LOBE_SHARE
    assert later["lobe"] > 0.01
    (sentence,) = [line for line in lines if line.startswith("warning")]
    expected = r"at step 4 the head is deformed: \d+\.\d % of the skin, .* mm in front"
    assert re.search(expected, sentence)


@pytest.fixture
def swollen_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """After step `DAMAGED_AFTER` the head swells by about 2 cm."""
    run_periodic_tasks = Trainer._run_periodic_tasks

    def damaging(self: Trainer, log: Any) -> None:
        if self.clock.step == DAMAGED_AFTER:
            with torch.no_grad():
                self.model.geometry.layers[-1].bias[0] -= 0.08
        run_periodic_tasks(self, log)

    monkeypatch.setattr(Trainer, "_run_periodic_tasks", damaging)


def test_a_head_that_swells_is_noticed(
    sound: tuple[Path, list[str]], video: FaceDataset, swollen_at: None, tmp_path: Path
) -> None:
    lines: list[str] = []
    run = train(video, tmp_path / "run", SETTINGS, begin_from=sound[0], say=lines.append)
    warnings = [line for line in lines if line.startswith("warning: at step 4 ")]
    assert any("mask IoU has fallen to" in line for line in warnings), lines
    assert all(line.endswith(f"see {run / 'validation' / '000004.png'}") for line in warnings)
    assert "warnings" not in rows(run)[1]
    assert len(rows(run)[2]["warnings"]) == len(warnings)
