"""Meshes: one for each named expression, posed from the bake or, on request, taken from the deformed field itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.kinematics import condition_of
from imavatar_deploy.model import Frame, HeadAvatarModel, ImplicitAvatar
from imavatar_deploy.progress import Progress
from imavatar_deploy.rendering.posing import pose_plainly, surface_normals

from ..bake import Bake
from ..mesh_cleanup import Part
from ..sequences.obj import write_obj
from ..sequences.ply import write_ply
from ..sequences.posing import Channels
from ..settings import ExportSettings
from ..surface_colours import point_colours
from .format import ExportFormat, ExportInput
from .mesh_from_field import FieldSurface
from .named_poses import NamedPose, named_poses

Writer = Callable[[Path, NDArray[np.int32], Channels], None]
WRITERS: dict[str, Writer] = {"obj": write_obj, "ply": write_ply}
"""Rows of `mesh_settings.MESH_TYPES`."""

FOLDER = "meshes"
INDEX = f"{FOLDER}/meshes.json"
"""Says which file is which face, and where its vertices come from."""


class FrameMesh(NamedTuple):
    """One face of the avatar as a mesh."""

    faces: NDArray[np.int32]
    channels: Channels
    """What is known of each vertex."""
    strays: tuple[Part, ...] = ()
    """The loose pieces that were left out of this mesh alone."""


def write_meshes(
    folder: Path,
    model: HeadAvatarModel,
    pose: Callable[[NamedPose], FrameMesh],
    settings: ExportSettings,
    progress: Progress,
) -> None:
    """Write a mesh for every face that the settings name, and the index.

    Raises:
        InputError: the file of expressions cannot be read or does not fit the model.
    """
    poses = chosen_poses(model, settings)
    (folder / FOLDER).mkdir()
    write, suffix, strays = WRITERS[settings.mesh.mesh_type], settings.mesh.mesh_type, {}
    with progress("meshes", len(poses)) as advance:
        for named in poses:
            posed = pose(named)
            write(folder / FOLDER / f"{named.name}.{suffix}", posed.faces, posed.channels)
            strays[named.name] = [part.faces for part in posed.strays]
            advance(1)
    index = {
        "units": "metres, +Y up, facing +Z",
        "from": "the deformed field" if settings.mesh.from_field else "the baked avatar",
        "head_model": model.edition,
        "variant": model.name,
        "meshes": {
            named.name: {
                "file": f"{named.name}.{suffix}",
                "expression": named.expression.tolist(),
                "pose": named.pose.tolist(),
                **({"stray_faces": strays[named.name]} if strays[named.name] else {}),
            }
            for named in poses
        },
    }
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def mesh_notes(folder: Path) -> list[str]:
    """What was left out of the meshes in a folder, in a sentence."""
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    strays = [mesh["stray_faces"] for mesh in index["meshes"].values() if "stray_faces" in mesh]
    if not strays:
        return []
    most, faces = max(map(len, strays)), max(map(sum, strays))
    return [
        f"left out of {len(strays)} of {len(index['meshes'])} meshes: loose pieces that float "
        f"free of the head (at most {most} in a mesh, {faces:,} extracted faces); "
        "--keep-strays keeps them"
    ]


def chosen_poses(model: HeadAvatarModel, settings: ExportSettings) -> list[NamedPose]:
    """The faces that the settings name."""
    return named_poses(settings.mesh.expressions, model.edition, model.head.expression_names)


def posed_by(
    model: HeadAvatarModel, baked: Bake | None, settings: ExportSettings
) -> Callable[[NamedPose], FrameMesh]:
    """How a face becomes a mesh: by the bake, or by the field where the settings or the lack of a bake say so."""
    if baked is not None and isinstance(model, ImplicitAvatar) and not settings.mesh.from_field:
        return _from_bake(model, baked)
    surface = FieldSurface(model, settings)

    def from_field(named: NamedPose) -> FrameMesh:
        found = surface(Frame(torch.from_numpy(named.expression), torch.from_numpy(named.pose)))
        channels = _channels(found.mesh.vertices, found.normals, found.colours)
        return FrameMesh(found.mesh.faces, channels, found.strays)

    return from_field


def _from_bake(source: ImplicitAvatar, baked: Bake) -> Callable[[NamedPose], FrameMesh]:
    canonical = np.ascontiguousarray(baked.avatar.canonical.T)

    def pose(named: NamedPose) -> FrameMesh:
        posed = pose_plainly(baked.avatar, named.expression, named.pose)
        normals = surface_normals(baked.avatar, posed)
        condition = condition_of(named.expression, named.pose)[0]
        colours = point_colours(
            source, canonical, normals, feature=baked.feature, condition=condition
        )
        return FrameMesh(baked.avatar.faces, _channels(posed.vertices, normals, colours))

    return pose


def _channels(
    vertices: NDArray[np.float32], normals: NDArray[np.float32], colours: NDArray[np.float32]
) -> Channels:
    """In metres."""
    return {
        "vertices": vertices / np.float32(UNITS_PER_METRE),
        "normals": normals,
        "colours": colours,
    }


def _write(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
    pose = posed_by(subject.source, subject.bake, subject.settings)
    write_meshes(folder, subject.source, pose, subject.settings, progress)
    return {}


ROWS = (
    ExportFormat(
        "mesh",
        "a mesh with colours and normals for every expression of --expressions",
        (),
        _write,
        lambda folder: [],  # a mesh has no graph that could be run
        refuse=chosen_poses,
        notes=mesh_notes,
    ),
)
