"""Marks of exports and baked sequences, read back by readers of other packages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pygltflib
import pytest
import trimesh
from alembic3d import Abc
from click.testing import CliRunner
from pxr import Sdf

from imavatar_deploy.arrays import read_only
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.exporters.commands.bake import bake
from imavatar_deploy.exporters.formats.gltf.vrm import write_vrm
from imavatar_deploy.exporters.manifest import about, graph_metadata
from imavatar_deploy.exporters.report import ExportReport
from imavatar_deploy.exporters.sequences.formats import FORMATS
from imavatar_deploy.marking import KEY, SOURCE_TYPE, STATEMENT, mark
from imavatar_deploy.model import ImplicitAvatar

from .conftest import Exported
from .test_gltf import LICENCE


def _first(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[0]


def _ply(folder: Path) -> str | None:
    """Source type in the comments of a PLY, by trimesh's own reader of headers."""
    mesh = trimesh.load(_first(folder, "ply/*.ply"), process=False)
    header = mesh.metadata.get("_ply_raw", {})
    assert "vertex" in header
    lines = _first(folder, "ply/*.ply").read_bytes().split(b"end_header")[0].decode().splitlines()
    return _stated(line.removeprefix("comment ") for line in lines if line.startswith("comment "))


def _obj(file: Path) -> str | None:
    assert len(trimesh.load(file, process=False).faces)
    lines = file.read_text().splitlines()
    return _stated(line.removeprefix("# ") for line in lines if line.startswith("# "))


def _stated(comments: Any) -> str | None:
    comments = list(comments)
    if STATEMENT not in comments:
        return None
    return next(line.split(": ")[1] for line in comments if line.startswith("digitalSourceType"))


def _glb(file: Path) -> str | None:
    asset = pygltflib.GLTF2().load_binary(str(file)).asset
    return asset.extras.get(KEY, {}).get("digitalSourceType")


def _usd(file: Path) -> str | None:
    data = Sdf.Layer.FindOrOpen(str(file)).customLayerData
    return data.get(KEY, {}).get("digitalSourceType")


def _abc(file: Path) -> str | None:
    properties = Abc.IArchive(str(file)).getTop().getProperties()
    if not any(
        properties.getPropertyHeader(index).getName() == "digitalSourceType"
        for index in range(properties.getNumProperties())
    ):
        return None
    return str(Abc.IStringProperty(properties, "digitalSourceType").getValue())


READERS: dict[str, Callable[[Path], str | None]] = {
    "obj": lambda folder: _obj(_first(folder, "obj/*.obj")),
    "ply": _ply,
    "pc2": lambda folder: _obj(folder / "head.obj"),
    "mdd": lambda folder: _obj(folder / "head.obj"),
    "glb": lambda folder: _glb(_first(folder, "*.glb")),
    "usd": lambda folder: _usd(_first(folder, "*.usd*")),
    "usdz": lambda folder: _usd(_first(folder, "*.usdz")),
    "abc": lambda folder: _abc(_first(folder, "*.abc")),
}
"""Format -> reader of its digital source type; a point cache is marked in the mesh it moves."""


def test_every_sequence_format_has_a_reader() -> None:
    assert set(READERS) == set(FORMATS)


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("name", READERS)
def test_sequences(tiny_avatar_folder: Path, tmp_path: Path, name: str, on: bool) -> None:
    arguments = [str(tiny_avatar_folder), "--format", name, "--frames", "0:2"]
    arguments += ["--out", str(tmp_path / "out"), *([] if on else ["--no-synthetic-mark"])]
    result = CliRunner().invoke(bake, arguments)
    assert result.exit_code == 0, result.output
    assert READERS[name](tmp_path / "out") == (SOURCE_TYPE if on else None)


@pytest.mark.parametrize("on", [True, False])
def test_vrm(tmp_path: Path, tiny_avatar: Avatar, on: bool) -> None:
    colours = read_only(tiny_avatar.rest.T * 0 + 0.5)
    path = tmp_path / "a.vrm"
    write_vrm(path, tiny_avatar, colours, licence=LICENCE, title="head", synthetic_mark=on)
    assert _glb(path) == (SOURCE_TYPE if on else None)


@pytest.fixture
def tiny_avatar(tiny_avatar_folder: Path) -> Avatar:
    return open_avatar(tiny_avatar_folder).avatar


def test_graphs_and_manifest(exported: Exported) -> None:
    for file in exported.folder.glob("*.onnx"):
        properties = {row.key: row.value for row in onnx.load(str(file)).metadata_props}
        assert properties["synthetic"] == "true"
        assert properties["digitalSourceType"] == SOURCE_TYPE
    manifest = json.loads((exported.folder / "avatar.json").read_text(encoding="utf-8"))
    assert manifest[KEY] == mark()


def test_graphs_and_manifest_without_the_mark(avatar: ImplicitAvatar, tmp_path: Path) -> None:
    assert "synthetic" not in graph_metadata(avatar, "12ab", synthetic_mark=False)
    report = ExportReport()
    assert KEY not in about(tmp_path, "12ab", avatar, report, {}, synthetic_mark=False)
