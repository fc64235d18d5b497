"""`imavatar-eval` end to end: a checkpoint, the bundled avatar and frames of other systems."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from torch.nn.utils import parametrize

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.fidelity.image_metrics import IDENTICAL_PSNR
from imavatar_deploy.head_fit.ibug_landmarks import landmark_vertices
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import ImplicitAvatar, NetworkSizes, load_checkpoint
from imavatar_deploy.model.checkpoint import save_checkpoint
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.render import Rendering
from imavatar_deploy.training.commands.eval import evaluate
from imavatar_deploy.training.dataset import FaceDataset
from imavatar_deploy.training.evaluation.from_run import nearest_visible
from imavatar_deploy.training.evaluation.landmarks import (
    BakedLandmarks,
    canonical_landmarks,
    nearest_on_mesh,
    nearest_on_surface,
    project,
)
from imavatar_deploy.training.synthetic import synthesise

SIZE = 16
TINY: dict[str, Any] = {
    "geometry_layers": (16, 16),
    "geometry_skip": (1,),
    "geometry_frequencies": 1,
    "feature": 4,
    "deformation_layers": (8,),
    "texture_layers": (8,),
    "texture_frequencies": 1,
}


@pytest.fixture(scope="session")
def test_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "female1"
    synthesise("female1", folder, which="test", frames=3, size=SIZE, subdivisions=0)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, openhead: HeadModel) -> Path:
    """An untrained avatar, which is a sphere."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("run") / "checkpoint"
    save_checkpoint(ImplicitAvatar(openhead, NetworkSizes(**TINY)), folder)
    return folder.parent


@pytest.fixture
def call(tmp_path: Path, test_set: Path) -> Callable[..., Result]:
    """imavatar-eval of the test set with a report at `report`."""

    def invoke(*arguments: object) -> Result:
        paths = ["--data", str(test_set), "--size", str(SIZE), "--out", str(tmp_path / "report")]
        return CliRunner().invoke(evaluate, [*map(str, arguments), *paths])

    return invoke


def metrics(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "report.json").read_text())["metrics"])


class TestMeasure:
    def test_a_run_by_the_marcher(
        self, tmp_path: Path, call: Callable[..., Result], checkpoint: Path
    ) -> None:
        result = call(checkpoint, "--tracer", "march", "--frames", "::2")
        assert result.exit_code == 0, result.output
        document = json.loads((tmp_path / "report" / "report.json").read_text())
        assert (document["variant"], document["tracer"], document["frames"][1]["name"]) == (
            "imavatar",
            "march",
            "3",
        )
        assert 0.1 < document["metrics"]["mask IoU"]["mean"] < 0.9
        assert document["metrics"]["normal cosine"]["mean"] > 0.3
        assert 0.0 < document["metrics"]["expression"]["mean"] < SIZE / 4
        assert "LPIPS" in result.output

    def test_the_bundled_avatar_by_its_runtime(
        self, tmp_path: Path, call: Callable[..., Result]
    ) -> None:
        result = call("sample", "--published-masking")
        assert result.exit_code == 0, result.output
        values = metrics(tmp_path / "report")
        assert values["mask IoU"]["mean"] > 0.7
        assert values["normal cosine"]["mean"] > 0.7
        assert values["expression"]["mean"] < 0.5
        assert "convex hull" in (tmp_path / "report" / "report.md").read_text()

    def test_foreign_frames_equal_to_the_truth(
        self, tmp_path: Path, call: Callable[..., Result], test_set: Path
    ) -> None:
        result = call("--pred", test_set / "image")
        assert result.exit_code == 0, result.output
        values = metrics(tmp_path / "report")
        assert (values["PSNR"]["mean"], values["L1"]["mean"]) == (IDENTICAL_PSNR, 0.0)
        assert "detector" in values["expression"]["not_measured"]

    def test_frames_of_another_size_are_refused(
        self, tmp_path: Path, call: Callable[..., Result]
    ) -> None:
        (tmp_path / "frames").mkdir()
        for name in "123":
            cv2.imwrite(
                str(tmp_path / "frames" / f"{name}.png"), np.zeros((8, 8, 3), dtype=np.uint8)
            )
        result = call("--pred", tmp_path / "frames")
        assert (result.exit_code, result.output.count("\n")) == (6, 1)
        assert "pass --size 8" in result.output

    def test_errors_are_one_sentence(
        self, tmp_path: Path, call: Callable[..., Result], checkpoint: Path
    ) -> None:
        for code, words, arguments in (
            (2, "expected either", ["--pred", tmp_path, "sample"]),
            (2, "did you mean 'march'", [checkpoint, "--tracer", "marsh"]),
            (2, "--frames must be like", ["sample", "--frames", "3"]),
            (6, "cannot be evaluated: expected", [tmp_path / "nowhere"]),
            (
                6,
                "LPIPS weights",
                ["sample", "--lpips-weights", checkpoint / "checkpoint" / "checkpoint.json"],
            ),
        ):
            result = call(*arguments)
            assert (result.exit_code, words in result.output) == (code, True), result.output
        assert not (tmp_path / "report").exists()

    def test_both_spellings_show_the_same_help(self) -> None:
        named = CliRunner().invoke(evaluate, ["measure", "--help"])
        assert "--published-masking" in named.output
        assert "experiment" in CliRunner().invoke(evaluate, ["--help"]).output


class TestLandmarks:
    def test_of_the_baked_sample_are_those_of_its_head(
        self, openhead: HeadModel, test_set: Path
    ) -> None:
        """In the canonical pose, landmarks are those of the head model, up to mesh resolution."""
        truth = FaceDataset.open([test_set], size=SIZE)
        expected = canonical_landmarks(truth.head)
        baked = BakedLandmarks(open_avatar("sample").avatar, expected)
        pose = np.zeros(15, dtype=np.float32)
        pose[6] = 0.2
        posed = baked.pose_vertices(np.zeros(50, dtype=np.float32), pose)
        assert np.median(np.linalg.norm(posed - expected, axis=1)) < 0.02

    def test_projection_is_the_datasets(self, test_set: Path) -> None:
        """The keypoints of the file are projections of the head model's vertices."""
        truth = FaceDataset.open([test_set], size=SIZE)
        frame = truth.track.frame(1)
        vertices = landmark_vertices(truth.head)
        posed = 4.0 * truth.head.vertices(frame.expression, frame.pose)[vertices]
        assert frame.camera is not None
        keypoints = truth.observation(1).keypoints
        assert keypoints is not None
        assert np.abs(project(posed, frame.camera, SIZE) - keypoints).max() < 1e-3

    def test_reach_the_surface(self, openhead: HeadModel) -> None:
        torch.manual_seed(0)
        model = ImplicitAvatar(openhead, NetworkSizes(**TINY))
        frame = Frame(torch.zeros(50), torch.zeros(15))
        points = nearest_on_surface(model, torch.from_numpy(canonical_landmarks(openhead)), frame)
        assert model.geometry(points).sdf.abs().max() < 1e-3

    def test_of_networks_and_of_their_bake_are_the_same_points(self) -> None:
        """Only at the inner edge of the lips, where the bake opens the mouth, may they differ."""
        model = load_checkpoint("sample").eval()
        points = canonical_landmarks(model.head)
        frame = Frame(torch.zeros(50), torch.zeros(15))
        with parametrize.cached():
            networks = nearest_on_surface(model, torch.from_numpy(points), frame).numpy()
        avatar = open_avatar("sample").avatar
        corners, weights = nearest_on_mesh(avatar, points)
        baked = np.einsum("nk,nkc->nc", weights, avatar.canonical.T[corners])
        millimetres = 250 * np.linalg.norm(networks - baked, axis=1)
        assert np.median(millimetres) < 0.1
        assert set(np.flatnonzero(millimetres > 1.0)) <= {48, 54, *range(60, 68)}

    def test_of_a_backward_variant_are_the_nearest_pixels(self) -> None:
        canonical = np.zeros((2, 2, 3), dtype=np.float32)
        canonical[..., 0] = [[0.0, 1.0], [2.0, 3.0]]
        mask = np.array([[True, True], [True, False]])
        zero = np.zeros((2, 2, 3), dtype=np.float32)
        rendering = Rendering(zero, zero, mask, zero[..., 0], canonical, canonical + 10)
        landmarks = np.array([[0.9, 0, 0], [9.0, 0, 0]], dtype=np.float32)
        points = nearest_visible(rendering, landmarks)
        assert points is not None
        assert points[:, 0].tolist() == [11.0, 12.0]
        empty = Rendering(zero, zero, mask & False, zero[..., 0], zero, zero)
        assert nearest_visible(empty, landmarks) is None
