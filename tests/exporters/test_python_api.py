"""Exporting from Python: loaded models, formats of one's own, sequences."""

from __future__ import annotations

import copy
import json
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from imavatar_deploy import open_avatar
from imavatar_deploy.errors import EditionMismatchError, UsageError
from imavatar_deploy.exporters import (
    EXPORT_FORMATS,
    SEQUENCE_FORMATS,
    ExportFormat,
    ExportInput,
    ExportSettings,
    MeshSettings,
    bake_sequences,
    export_avatar,
    register_format,
)
from imavatar_deploy.exporters.formats import table
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.checkpoint import checkpoint_sha256
from imavatar_deploy.progress import Progress

from ..processes import run_process
from .conftest import Exported


def write_points(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
    np.savetxt(folder / "points.xyz", subject.bake.avatar.canonical.T, fmt="%.5f")
    return {"points": {"file": "points.xyz"}}


POINTS = ExportFormat("points", "the canonical vertices", (), write_points, lambda folder: [])
SETTINGS = ExportSettings(formats=("points",), resolution=64, faces=400, student=None)


@pytest.fixture
def own_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "FORMATS", dict(table.FORMATS))
    register_format(POINTS)


@pytest.mark.usefixtures("own_format")
def test_a_loaded_model_is_exported_as_its_checkpoint(
    avatar: ImplicitAvatar, checkpoint: Path, tmp_path: Path
) -> None:
    before = copy.deepcopy(avatar.state_dict())
    loaded = copy.deepcopy(avatar).train().double()
    export_avatar(checkpoint, tmp_path / "of_file", SETTINGS)
    report = export_avatar(loaded, tmp_path / "of_model", SETTINGS)
    assert report.problems() == ""
    assert loaded.training, "the caller's model is left as it was"
    assert next(loaded.parameters()).dtype == torch.float64
    assert all(torch.equal(before[name], tensor) for name, tensor in avatar.state_dict().items())
    points = [(tmp_path / name / "points.xyz").read_bytes() for name in ("of_file", "of_model")]
    assert points[0] == points[1]
    sources = [open_avatar(tmp_path / name).manifest["source"] for name in ("of_file", "of_model")]
    assert [source["sha256"] for source in sources] == [checkpoint_sha256(checkpoint)] * 2
    assert [source["name"] for source in sources] == ["small", "a model in memory"]


@pytest.mark.usefixtures("own_format")
def test_a_loaded_model_of_another_head_model_is_refused(
    avatar: ImplicitAvatar, tmp_path: Path
) -> None:
    with pytest.raises(EditionMismatchError, match="openhead and the settings say .*flame2020"):
        export_avatar(avatar, tmp_path / "out", replace(SETTINGS, edition="flame2020"))
    assert not list(tmp_path.iterdir())


def test_meshes_of_the_field_take_a_loaded_model(avatar: ImplicitAvatar, tmp_path: Path) -> None:
    faces = tmp_path / "faces.json"
    faces.write_text(json.dumps({"rest": {}}))
    mesh = MeshSettings(from_field=True, expressions=str(faces))
    settings = ExportSettings(formats=("mesh",), mesh=mesh, resolution=64, faces=400)
    export_avatar(avatar, tmp_path / "out", settings)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["LICENCE.txt", "meshes"]


@pytest.mark.usefixtures("own_format")
def test_a_format_of_ones_own_is_written(avatar: ImplicitAvatar, tmp_path: Path) -> None:
    report = export_avatar(avatar, tmp_path / "out", SETTINGS)
    assert {"points", "check points"} <= report.seconds.keys()
    folder = open_avatar(tmp_path / "out")
    points = np.loadtxt(folder.file("points.xyz"))
    assert np.allclose(points, folder.avatar.canonical.T, atol=1e-5)
    assert folder.manifest["graphs"]["points"] == {"file": "points.xyz"}


@pytest.mark.usefixtures("own_format")
def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(UsageError, match="an export format 'points' already"):
        register_format(POINTS)


def test_the_tables_are_those_of_the_commands() -> None:
    assert {"onnx", "player", "glb", "mesh"} <= EXPORT_FORMATS.keys()
    assert {"obj", "ply", "pc2", "abc", "usd"} <= SEQUENCE_FORMATS.keys()
    with pytest.raises(UsageError, match="export format 'onx'"):
        export_avatar("sample", "nowhere", ExportSettings(formats=("onx",)))


def test_settings_of_another_type_are_refused(tmp_path: Path) -> None:
    for formats in ("player", (), []):
        with pytest.raises(UsageError, match=r"formats must be one or more names.*\('player',\)"):
            ExportSettings(formats=formats)  # type: ignore[arg-type]
    for faces in ("abc", 500.5):
        with pytest.raises(UsageError, match="faces must be a whole number or None, got"):
            ExportSettings(faces=faces)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="settings must be ExportSettings or None, got dict"):
        export_avatar("sample", tmp_path / "out", {"faces": 400})  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_contradictions_name_the_argument_and_the_option() -> None:
    with pytest.raises(UsageError, match=r"mesh\.from_field \(--from-field\) applies to meshes"):
        ExportSettings(mesh=MeshSettings(from_field=True))
    with pytest.raises(UsageError, match=r"student=None \(--no-student\) leaves it out"):
        ExportSettings(formats=("student",), student=None)


def test_sequences_are_baked_from_python(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    report = bake_sequences(
        tiny_avatar_folder,
        "talk",
        tmp_path / "out",
        ["ply", "pc2"],
        frames=slice(0, 6),
        fps=12.5,
        jobs=2,
        say=notes.append,
    )
    vertices = open_avatar(tiny_avatar_folder).avatar.vertex_count
    assert (report.frames, report.vertices, report.fps) == (3, vertices, 12.5)
    assert report.seconds > 0
    assert len(list((tmp_path / "out" / "ply").glob("*.ply"))) == 3
    assert tmp_path / "out" / "head.pc2" in report.files
    header = np.frombuffer((tmp_path / "out" / "head.pc2").read_bytes()[16:20], "<i4")
    assert header[0] == vertices


def test_the_example_poses_by_the_graph_where_there_is_one(
    exported: Exported, tmp_path: Path
) -> None:
    script = Path(__file__).resolve().parents[2] / "examples" / "12_onnx_runtime_alone.py"
    outputs = []
    for name in ("posed", "rest"):
        folder = tmp_path / name
        shutil.copytree(exported.folder, folder)
        if name == "rest":
            (folder / "animate.onnx").unlink()
        command = [sys.executable, str(script), str(tmp_path / f"{name}_out"), str(folder)]
        result = run_process(command)
        assert result.returncode == 0, result.stderr
        assert float(re.findall(r"(\d+) points", result.stdout)[0]) > 500
        outputs.append(cv2.imread(str(tmp_path / f"{name}_out" / "12_triangles.png")))
    posed, rest = outputs
    assert posed.shape == rest.shape == (320, 320, 3)
    assert 0.1 < (posed != 255).any(axis=-1).mean() < 0.9
    assert np.abs(posed.astype(float) - rest).mean() > 5, "the head turns"
