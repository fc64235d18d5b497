"""`imavatar-export --format fbx` without Blender: refused before the work, with what brings it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from imavatar_deploy.errors import InternalError, MissingDependencyError
from imavatar_deploy.exporters.export import export_avatar
from imavatar_deploy.exporters.formats.fbx import convert
from imavatar_deploy.exporters.settings import ExportSettings


@pytest.mark.skipif(importlib.util.find_spec("bpy") is not None, reason="Blender is here")
def test_without_blender_it_is_refused_before_the_work(checkpoint: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    with pytest.raises(MissingDependencyError, match=r"bpy .*imavatar-deploy\[fbx\]"):
        settings = ExportSettings(formats=("fbx",))
        export_avatar(checkpoint, tmp_path / "head", settings, say=steps.append)
    assert not steps
    assert not (tmp_path / "head").exists()


def test_a_failed_conversion_is_an_error(tmp_path: Path) -> None:
    source = tmp_path / "no.glb"
    with pytest.raises(InternalError, match="could not convert"):
        convert(source, tmp_path / "a.fbx", 25)
    assert not (tmp_path / "a.fbx").exists()
