"""A small implicit avatar whose fields all vary, and its export."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.consent import STATEMENT, Consent
from imavatar_deploy.exporters.export import export_avatar
from imavatar_deploy.exporters.fidelity.options import FidelitySettings
from imavatar_deploy.exporters.formats import table
from imavatar_deploy.exporters.formats.format import ExportInput
from imavatar_deploy.exporters.formats.web import chromium
from imavatar_deploy.exporters.formats.web.frames import browser_obstacle
from imavatar_deploy.exporters.report import ExportReport
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.exporters.student.options import StudentSettings
from imavatar_deploy.exporters.unseen_options import UnseenSettings
from imavatar_deploy.fidelity.golden import check_golden, read_golden, write_golden
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import ImplicitAvatar, NetworkSizes, save_checkpoint
from imavatar_deploy.progress import Progress

from ..shared_folders import shared_folder
from ..tiny_avatar import tiny_avatar

SMALL = NetworkSizes(
    geometry_layers=(64,) * 4,
    geometry_skip=(2,),
    geometry_frequencies=2,
    feature=16,
    deformation_layers=(32, 32),
    texture_layers=(64, 64),
)

CONSENT = Consent("option", "anna", "2026-11-30T14:00:00Z", STATEMENT, ("me.mp4",))
"""The consent in the record of the small avatar."""

STUDENT_STEPS = 200
"""Training steps of a quickly trained student."""

STUDENT_PSNR = 20.0
"""PSNR that a quickly trained student reaches, dB; an untrained one has 10."""

SMALL_TOLERANCES = """
[baked]
psnr = 35.0
iou = 0.98
normal_angle = 2.5

[onnx]
psnr = 60.0

[student]
psnr = 30.0
"""


@pytest.fixture(scope="session", autouse=True)
def _small_networks(one_thread: None) -> None:
    """Run the tests of this folder on one thread."""


@pytest.fixture(scope="session")
def small_limits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Limits for random fields on few faces and a short training; damage still misses them."""
    limits = tmp_path_factory.mktemp("tolerances") / "tolerances.toml"
    limits.write_text(SMALL_TOLERANCES)
    return limits


@pytest.fixture(scope="module", autouse=True)
def _small_proof(small_limits: Path) -> Iterator[None]:
    """Use these limits in the tests of this folder only; other tests use the package's limits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "imavatar_deploy.exporters.fidelity.options.DEFAULT_TOLERANCES_FILE", small_limits
        )
        yield


@pytest.fixture(scope="session")
def avatar() -> ImplicitAvatar:
    """A sphere that moves: geometric initialisation, random blendshapes, weights and colours."""
    torch.manual_seed(5)
    model = ImplicitAvatar(HeadModel.load("openhead"), SMALL, {"consent": CONSENT.as_dict()})
    with torch.no_grad():
        model.deformation.blendshapes.weight.normal_(0.0, 0.02)
        model.deformation.skinning.weight.normal_(0.0, 0.1)
        for layer in model.texture.layers:
            layer.weight = 2.0 * layer.weight  # type: ignore[operator, assignment]
    return model.eval()


@pytest.fixture(scope="session")
def checkpoint(avatar: ImplicitAvatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "small"
    save_checkpoint(avatar, folder)
    return folder


@dataclass(frozen=True)
class Exported:
    folder: Path
    report: ExportReport


@pytest.fixture(scope="session")
def exported(
    checkpoint: Path, small_limits: Path, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    """The small avatar's folder, written once in a test run; its report has the times alone."""
    settings = ExportSettings(
        resolution=64,
        faces=2000,
        student=StudentSettings(steps=STUDENT_STEPS),
        proof=FidelitySettings(size=48),
        unseen=UnseenSettings(
            fill=False, cut_bust=False
        ),  # the networks' own values at every vertex
    )

    def write(folder: Path) -> None:
        report = export_avatar(checkpoint, folder / "avatar", settings)
        (folder / "seconds.json").write_text(json.dumps(report.seconds))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imavatar_deploy.exporters.student.train.REQUIRED_PSNR", STUDENT_PSNR)
        patch.setattr(
            "imavatar_deploy.exporters.fidelity.options.DEFAULT_TOLERANCES_FILE", small_limits
        )
        folder = shared_folder(tmp_path_factory, "exported", write)
    seconds = json.loads((folder / "seconds.json").read_text())
    return Exported(folder / "avatar", ExportReport(seconds=seconds))


@pytest.fixture(scope="session")
def browser_here() -> None:
    """Skip the tests that need a browser where none can draw the page of the format web."""
    if obstacle := browser_obstacle():
        pytest.skip(obstacle)


@pytest.fixture
def limited_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report a browser that hangs after a minute."""
    monkeypatch.setattr(chromium, "LIMIT", 60.0)


@pytest.fixture(scope="session")
def head() -> Avatar:
    """The egg, with expressions by OpenHead's names."""
    return replace(tiny_avatar(), expression_names=HeadModel.load("openhead").expression_names)


@pytest.fixture
def graphs_at_hand(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy the graphs of `exported` in `--format onnx`, which saves fifteen seconds of tracing."""

    def write(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
        cases = {
            name: case for name, case in read_golden(exported.folder).items() if name != "student"
        }
        for name in cases:
            shutil.copy(exported.folder / f"{name}.onnx", folder)
        write_golden(folder, cases)
        return {}

    row = replace(table.FORMATS["onnx"], write=write, check=check_golden, takes_student=False)
    monkeypatch.setitem(table.FORMATS, "onnx", row)
