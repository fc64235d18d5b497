"""The format `fbx`: the GLB of an avatar, converted by Blender.

Blender runs in a process of its own: as a module it changes the process that imports it.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imavatar_deploy.errors import InternalError, MissingDependencyError
from imavatar_deploy.progress import Progress

from ..settings import ExportSettings
from .format import ExportFormat, ExportInput

FILE = "avatar.fbx"

LIMIT = 600
"""Seconds after which the conversion has failed."""

FPS = 25
"""Frames a second without a motion."""

SCRIPT = """
import sys
import bpy
source, target, fps = sys.argv[1:]
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.fps = max(1, round(float(fps)))
scene.render.fps_base = scene.render.fps / float(fps)
bpy.ops.import_scene.gltf(filepath=source)
bpy.ops.export_scene.fbx(
    filepath=target,
    object_types={"ARMATURE", "MESH"},
    add_leaf_bones=False,
    bake_anim=True,
    bake_anim_use_all_bones=False,
    bake_anim_simplify_factor=0.0,
    mesh_smooth_type="OFF",
    colors_type="SRGB",
)
"""
"""Converts a GLB at a frame rate: arguments are the GLB, the FBX and the rate."""


def convert(source: Path, target: Path, fps: float, python: str = sys.executable) -> None:
    """Convert a GLB to FBX.

    Args:
        source: the GLB.
        target: the FBX to write.
        fps: frames a second of its clip.
        python: an interpreter that has bpy.

    Raises:
        InternalError: Blender failed.
    """
    command = [python, "-c", SCRIPT, str(source), str(target), str(fps)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired as error:
        raise InternalError(f"Blender did not convert {source} within {LIMIT} s") from error
    if result.returncode != 0 or not target.is_file():
        last = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:]
        raise InternalError(f"Blender could not convert {source}: {' '.join(last)}")


def _ready(settings: ExportSettings) -> None:
    """Raise MissingDependencyError if Blender is not installed, without loading it."""
    if importlib.util.find_spec("bpy") is None:
        raise MissingDependencyError(
            "fbx is written by Blender, and its module bpy is not installed: "
            "pip install 'imavatar-deploy[fbx]' (bpy has wheels for one version of Python each)"
        )


def _write(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
    track = subject.settings.track
    with progress("converting by Blender", None):
        convert(folder / "avatar.glb", folder / FILE, track.fps if track else FPS)
    return {"fbx": {"bytes": (folder / FILE).stat().st_size}}


ROWS = (
    ExportFormat(
        "fbx",
        "the glb as FBX, by Blender, for Unity, Unreal and Maya",
        ("pygltflib", "xatlas"),
        _write,
        lambda folder: [],  # the GLB is checked
        extra="fbx",
        after=("glb",),
        beyond="bpy (Blender)",
        ready=_ready,
        notes=lambda folder: ["avatar.fbx was converted by Blender; it was not read back"],
        output=FILE,
        folder_files=(),
    ),
)
