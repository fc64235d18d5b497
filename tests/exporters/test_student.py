"""The student: training and validation samples, graph and formula, and the limit of its quality."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.errors import UsageError
from imavatar_deploy.exporters.bake import Bake, bake
from imavatar_deploy.exporters.commands.export import export
from imavatar_deploy.exporters.fidelity.reference_poses import reference_poses
from imavatar_deploy.exporters.mesh_cleanup import simplify
from imavatar_deploy.exporters.student.network import LearningStudent, PlainStudent
from imavatar_deploy.exporters.student.options import StudentSettings
from imavatar_deploy.exporters.student.train import REQUIRED_PSNR, train_student, validate
from imavatar_deploy.exporters.student.training_set import (
    StudentSamples,
    training_samples,
    validation_samples,
)
from imavatar_deploy.fidelity.golden import read_golden
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.extract import extract, field_of
from imavatar_deploy.onnx_session import open_session, run_graph
from imavatar_deploy.progress import silent
from imavatar_deploy.student import STUDENT_FILE, WIDTHS, colours_plainly, read_student

from ..students import random_student
from .conftest import STUDENT_PSNR, STUDENT_STEPS, Exported


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(export, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def baked(avatar: ImplicitAvatar) -> Bake:
    return bake(avatar, simplify(extract(field_of(avatar), resolution=64), 300))


@pytest.fixture(scope="module")
def training(avatar: ImplicitAvatar, baked: Bake) -> StudentSamples:
    return training_samples(avatar, baked, silent)


@pytest.fixture(scope="module")
def validation(avatar: ImplicitAvatar, baked: Bake) -> dict[str, StudentSamples]:
    return validation_samples(avatar, baked, silent)


class TestSamples:
    def test_validation_frames_are_not_used_for_training(
        self, training: StudentSamples, validation: dict[str, StudentSamples]
    ) -> None:
        for name, samples in validation.items():
            distance = torch.cdist(samples.condition, training.condition)
            assert float(distance.min()) > 1e-3, name

    def test_validation_includes_the_reference_corners(
        self, validation: dict[str, StudentSamples]
    ) -> None:
        np.testing.assert_array_equal(
            validation["corners"].condition[:3], reference_poses("openhead").condition[1:4]
        )

    def test_colours_are_those_of_the_networks(
        self, avatar: ImplicitAvatar, baked: Bake, training: StudentSamples
    ) -> None:
        frame = 200
        corners = training.corners[frame]
        weights = training.weights[frame][:, :, None]
        points = (
            torch.from_numpy(np.ascontiguousarray(baked.avatar.canonical.T))[corners] * weights
        ).sum(dim=1)
        with torch.inference_mode():
            feature = (baked.feature[corners] * weights).sum(dim=1)
            truth = avatar.texture(
                points, training.normals[frame], training.condition[frame], feature
            )
        torch.testing.assert_close(training.colours[frame], truth, atol=1e-5, rtol=0)
        torch.testing.assert_close(
            training.normals.norm(dim=-1), torch.ones(training.normals.shape[:2])
        )

    def test_half_of_the_points_are_vertices(
        self, training: StudentSamples, validation: dict[str, StudentSamples]
    ) -> None:
        weights = training.weights
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:2]))
        assert float((weights[:, :, 0] == 1.0).float().mean()) == 0.5
        assert bool((weights >= 0).all())
        for samples in validation.values():
            assert bool((samples.weights[:, :, 0] == 1.0).all())


@pytest.mark.parametrize("width", WIDTHS)
def test_torch_and_the_plain_formula_agree(avatar: ImplicitAvatar, width: int) -> None:
    """Training, the exported graph and the runtime compute the same function."""
    rng = np.random.default_rng(width)
    condition = torch.from_numpy(rng.random((5, 53)).astype(np.float32))
    normal = rng.normal(size=(40, 3)).astype(np.float32)
    network = LearningStudent(avatar.texture, 40, width, condition)
    student = network.to_student()
    plainly = colours_plainly(student, student.features, normal, condition[:1].numpy())
    with torch.inference_mode():
        graph = PlainStudent(student)(
            torch.from_numpy(student.features), torch.from_numpy(normal), condition[:1]
        )
        corners = torch.arange(40)[None, :, None].expand(1, 40, 3)
        weights = torch.full((1, 40, 3), 1 / 3)
        learning = network(corners, weights, torch.from_numpy(normal)[None], condition[:1])[0]
    np.testing.assert_allclose(graph.numpy(), plainly, atol=1e-6)
    np.testing.assert_allclose(
        learning.numpy(), plainly, atol=1e-3
    )  # the features are rounded to half precision


def test_training_is_reproducible(avatar: ImplicitAvatar, baked: Bake) -> None:
    first, second = (train_student(avatar, baked, width=16, steps=3).student for _ in range(2))
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(array, second.arrays()[name], err_msg=name)


def test_a_random_student_fails_validation(
    baked: Bake, validation: dict[str, StudentSamples]
) -> None:
    report = validate(random_student(baked.avatar.vertex_count, 16), validation)
    assert not report.passed
    assert [row.name for row in report.frame_metrics] == ["motion", "corners"]
    assert all(row.min_frame_psnr <= row.psnr < REQUIRED_PSNR for row in report.frame_metrics)
    assert "student.corners reaches" in report.problems()
    assert "--no-student leaves it out" in report.problems()


class TestExported:
    def test_manifest_records_its_quality(self, exported: Exported) -> None:
        fidelity = open_avatar(exported.folder).manifest["fidelity"]
        (row,) = (
            row for row in fidelity["parity"] if row["subject"] == "student" and "frames" in row
        )
        assert set(row["frames"]) == {"motion", "corners"}
        for frames in row["frames"].values():
            assert STUDENT_PSNR == frames["least"] <= frames["psnr"]
            assert frames["worst"] <= frames["psnr"]
        assert (fidelity["student"]["width"], fidelity["student"]["steps"]) == (16, STUDENT_STEPS)

    @pytest.mark.parametrize("count", [1, 2, 7, 1000])
    def test_graph_follows_the_stored_student(self, exported: Exported, count: int) -> None:
        student = read_student(open_avatar(exported.folder))
        rng = np.random.default_rng(count)
        feature = student.features[rng.integers(0, len(student.features), count)]
        normal = rng.normal(size=(count, 3)).astype(np.float32)
        condition = reference_poses("openhead").condition[5:6]
        inputs = {"feature": feature, "normal": normal, "condition": condition}
        colours = run_graph(open_session(exported.folder / "student.onnx", threads=1), inputs)
        np.testing.assert_allclose(
            colours["rgb"], colours_plainly(student, feature, normal, condition), atol=1e-5
        )


def test_a_student_below_its_limit_is_withheld(checkpoint: Path, tmp_path: Path) -> None:
    options = ("--format", "student", "--student-steps", 0, "--resolution", 64, "--faces", 500)
    options += ("--keep-unseen",)  # a ball has no back of the head, and its outline would change
    result = call(checkpoint, "--out", tmp_path / "avatar", *options)
    assert result.exit_code == 3, result.output
    assert "student.motion reaches" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["avatar.rejected"]
    report = json.loads((tmp_path / "avatar.rejected" / "report.json").read_text())
    assert [row["subject"] for row in report["parity"] if not row["passed"]] == ["student"]
    assert (tmp_path / "avatar.rejected" / STUDENT_FILE).is_file()


def test_format_student_writes_no_graph(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imavatar_deploy.exporters.student.train.REQUIRED_PSNR", 0.0)
    options = (
        "--format",
        "student",
        "--student",
        32,
        "--student-steps",
        1,
        "--resolution",
        64,
        "--faces",
        500,
    )
    result = call(
        checkpoint, "--out", tmp_path / "avatar", *options, "--allow-drift", "it is untrained"
    )
    assert result.exit_code == 0, result.output
    assert "student against the full network" in result.output
    folder = open_avatar(tmp_path / "avatar")
    assert read_student(folder).width == 32
    assert not list((tmp_path / "avatar").glob("*.onnx"))
    assert set(read_golden(folder.path)) == {"animate", "student"}


def test_unsupported_widths_are_refused() -> None:
    with pytest.raises(UsageError, match="a student must be 16, 32, 64 wide, got 17"):
        StudentSettings(width=17)
    with pytest.raises(UsageError, match="0 steps or more, got -1"):
        StudentSettings(steps=-1)
