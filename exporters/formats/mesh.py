"""The format `mesh`: a mesh for each named expression, from the baked avatar or the field."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from imavatar_deploy.arrays import Array, Float32, Int32
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.marking import extras
from imavatar_deploy.model import Frame, HeadAvatarModel, ImplicitAvatar
from imavatar_deploy.optional import require
from imavatar_deploy.progress import Progress
from imavatar_deploy.rendering.posing import pose_plainly, surface_normals
from imavatar_deploy.student import Student

from ..atlas import Atlas
from ..bake import Bake
from ..mesh_cleanup import Part
from ..sequences.obj import write_obj, write_textured_obj
from ..sequences.ply import write_ply
from ..sequences.posing import Channels
from ..settings import ExportSettings
from ..stored_avatar import StoredAvatar
from ..surface_colours import posed_texture, vertex_colours
from .format import ExportFormat, ExportInput, Source
from .gltf.materials import Texture
from .mesh_from_field import FieldSurface
from .named_poses import NamedPose, named_poses

Writer = Callable[[Path, Int32[Array, "F 3"], Channels, bool], None]
"""Writes faces and vertex channels to a file."""

WRITERS: dict[str, Writer] = {"obj": write_obj, "ply": write_ply}
"""Writer of each of `options.MESH_TYPES`."""

FOLDER = "meshes"
INDEX = f"{FOLDER}/meshes.json"
"""Lists file, expression and pose of each mesh, and the origin of the vertices."""


class FrameMesh(NamedTuple):
    """One expression of the avatar as a mesh."""

    faces: Int32[Array, "F 3"]
    channels: Channels
    """Positions, normals and colours of the vertices."""
    strays: tuple[Part, ...] = ()
    """Stray parts that are left out of this mesh."""
    texture: Texture | None = None
    """An image with the colours."""


def write_meshes(
    folder: Path,
    model: HeadAvatarModel | StoredAvatar,
    pose: Callable[[NamedPose], FrameMesh],
    settings: ExportSettings,
    progress: Progress,
) -> None:
    """Write a mesh for every expression that the settings name, and the index.

    Args:
        folder: receives the folder `meshes`.
        model: the avatar.
        pose: returns the mesh of an expression, as `posed_by` provides.
        settings: names the expressions and the file type.
        progress: shows how far the work is.

    Raises:
        InputError: the file of expressions cannot be read or does not fit the model.
    """
    poses = selected_poses(model, settings)
    (folder / FOLDER).mkdir()
    suffix = settings.mesh.mesh_type
    write = WRITERS[suffix]
    strays = {}
    with progress("meshes", len(poses)) as advance:
        for named in poses:
            posed = pose(named)
            file = folder / FOLDER / f"{named.name}.{suffix}"
            if posed.texture is None:
                write(file, posed.faces, posed.channels, settings.synthetic_mark)
            else:
                textured = (posed.faces, posed.channels, posed.texture)
                write_textured_obj(file, *textured, settings.synthetic_mark)
            strays[named.name] = [part.faces for part in posed.strays]
            advance(1)
    index = {
        "units": "metres, +Y up, facing +Z",
        **extras(settings.synthetic_mark),
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
    """A sentence about the stray parts that are left out of the meshes in a folder."""
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    strays = [mesh["stray_faces"] for mesh in index["meshes"].values() if "stray_faces" in mesh]
    if not strays:
        return []
    most = max(map(len, strays))
    faces = max(map(sum, strays))
    return [
        f"left out of {len(strays)} of {len(index['meshes'])} meshes: loose pieces that float "
        f"free of the head (at most {most} in a mesh, {faces:,} extracted faces); "
        "--keep-strays keeps them"
    ]


def selected_poses(
    model: HeadAvatarModel | StoredAvatar, settings: ExportSettings
) -> list[NamedPose]:
    """The expressions that the settings name."""
    if isinstance(model, StoredAvatar):
        names = model.expression_names
    else:
        names = model.head.expression_names
    return named_poses(settings.mesh.expressions, model.edition, names)


def posed_by(
    model: HeadAvatarModel | StoredAvatar,
    baked: Bake | StoredAvatar | None,
    settings: ExportSettings,
    student: Student | None = None,
) -> Callable[[NamedPose], FrameMesh]:
    """Return a function that makes the mesh of an expression.

    Args:
        model: the avatar, of any variant.
        baked: its baked avatar. If it is None, or if the settings say so, meshes are extracted from
            the deformed field.
        settings: of the export.
        student: a refined student, whose colours meshes of the baked avatar take.
    """
    if isinstance(model, StoredAvatar):
        return _from_bake(model, model, settings, student)
    if baked is not None and isinstance(model, ImplicitAvatar) and not settings.mesh.from_field:
        return _from_bake(model, baked, settings, student)
    surface = FieldSurface(model, settings)

    def from_field(named: NamedPose) -> FrameMesh:
        posed = surface(Frame(torch.from_numpy(named.expression), torch.from_numpy(named.pose)))
        channels = _channels(posed.mesh.vertices, posed.normals, posed.colours)
        return FrameMesh(posed.mesh.faces, channels, posed.strays)

    return from_field


def _from_bake(
    source: Source, baked: Bake | StoredAvatar, settings: ExportSettings, student: Student | None
) -> Callable[[NamedPose], FrameMesh]:
    textured = settings.mesh.colour == "texture"
    atlas = Atlas(baked.avatar, settings.mesh.texture_size) if textured else None

    def pose(named: NamedPose) -> FrameMesh:
        face = (named.expression, named.pose)
        posed = pose_plainly(baked.avatar, *face)
        normals = surface_normals(baked.avatar, posed)
        if atlas is not None:
            texture = posed_texture(source, baked, atlas, *face, student=student)
            channels = _channels(posed.vertices, normals)
            return FrameMesh(baked.avatar.faces, channels, texture=texture)
        colours = vertex_colours(source, baked, *face, student=student)
        return FrameMesh(baked.avatar.faces, _channels(posed.vertices, normals, colours))

    return pose


def _channels(
    vertices: Float32[Array, "V 3"],
    normals: Float32[Array, "V 3"],
    colours: Float32[Array, "V 3"] | None = None,
) -> Channels:
    """Channels of vertices in model units, converted to metres."""
    channels = {"vertices": vertices / np.float32(UNITS_PER_METRE), "normals": normals}
    return channels if colours is None else channels | {"colours": colours}


def _ready(settings: ExportSettings) -> None:
    """Raise an error if an image is asked for and xatlas is not installed."""
    if settings.mesh.colour == "texture":
        require("xatlas", extra="gltf")


def _write(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
    pose = posed_by(subject.source, subject.bake, subject.settings, subject.colour_student)
    write_meshes(folder, subject.source, pose, subject.settings, progress)
    return {}


ROWS = (
    ExportFormat(
        "mesh",
        "a mesh with colours and normals for every expression of --expressions",
        (),
        _write,
        lambda folder: [],  # a mesh has no graph to run
        bakes_colours=True,
        refuse=selected_poses,
        ready=_ready,
        notes=mesh_notes,
        output=FOLDER,
        folder_files=(),
    ),
)
