"""Extract meshes by coarse-to-fine marching cubes: the canonical surface, or that of one frame."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.head_avatar import HeadAvatarModel
from imavatar_deploy.model.implicit_avatar import ImplicitAvatar
from imavatar_deploy.progress import Progress, silent

from .field import Field, chunks
from .lattice import marching_cubes, sample_near_surface
from .mesh import Mesh, keep_components

COARSE_CELLS = 64
"""Cells per side of the initial, full lattice: a cell is 1 cm wide, less than an ear or a lid."""

RESOLUTIONS = (64, 128, 256, 512)
"""Cells per side that may be chosen."""

PADDING = 1.05
"""Ratio of cube to sphere; above one, so that a surface that the sphere cuts is closed."""


def field_of(avatar: ImplicitAvatar) -> Field:
    """Return the signed field of the canonical geometry of an avatar."""
    return Field(lambda points: avatar.geometry(points)[0], device=next(avatar.parameters()).device)


def extract(
    field: Field, *, resolution: int = 256, components: str = "visible", progress: Progress = silent
) -> Mesh:
    """Extract the zero level set of `field` inside its bounding sphere.

    The mesh is closed, its faces point outwards, and no two vertices coincide.

    Args:
        field: signed field, for instance from `field_of`.
        resolution: cells per side of the cube around the sphere, one of `RESOLUTIONS`.
        components: connected parts to keep, see `mesh.keep_components`.
        progress: reports the evaluated points of each level.

    Raises:
        UsageError: the resolution or the choice of components is unknown.
        InputError: the field has no surface.
    """
    if resolution not in RESOLUTIONS:
        raise UsageError(
            f"resolution must be one of {', '.join(map(str, RESOLUTIONS))}, got {resolution}"
        )
    half = PADDING * field.radius
    lattice = sample_near_surface(
        field, coarse=COARSE_CELLS, fine=resolution, half=half, progress=progress
    )
    if not len(lattice.cells):
        raise InputError(
            "the geometry network has no surface inside the bounding sphere; was it trained?"
        )
    return keep_components(marching_cubes(lattice), components)


# The surface in one frame


def posed_surface(
    model: HeadAvatarModel, frame: Frame, *, resolution: int = 128, progress: Progress = silent
) -> Mesh:
    """Extract the deformed surface of `model` in `frame`, model units.

    For a forward variant the canonical surface is extracted, with the geometry code of the frame,
    and its vertices are deformed. Lips that touch remain separate. For a backward variant the field
    is extracted in deformed space.

    Args:
        model: any variant.
        frame: parameters of the frame, on the model's device.
        resolution: cells per side of the cube around the bounding sphere, one of `RESOLUTIONS`.
        progress: reports the evaluated points of each level.

    Raises:
        UsageError: the resolution is unknown.
        InputError: the model has no surface in this frame.
    """
    field = Field(_signed_distance(model, frame), device=frame.expression.device)
    mesh = extract(field, resolution=resolution, progress=progress)
    return _deform_vertices(model, mesh, frame) if isinstance(model, ForwardAvatarModel) else mesh


def _signed_distance(model: HeadAvatarModel, frame: Frame) -> Callable[[Tensor], Tensor]:
    """Return the signed distance of canonical (forward) or deformed (backward) points."""
    if isinstance(model, ForwardAvatarModel):
        code = model.geometry_code(frame)
        return lambda points: model.geometry(points, code).sdf
    return lambda points: model.find_canonical(points, frame).sdf


@torch.no_grad()
def _deform_vertices(model: ForwardAvatarModel, canonical: Mesh, frame: Frame) -> Mesh:
    vertices = torch.from_numpy(canonical.vertices).to(frame.expression.device)
    moved = [
        model.deform(vertices[part], frame.expression, frame.pose) for part in chunks(len(vertices))
    ]
    return Mesh(torch.cat(moved).cpu().numpy(), canonical.faces)
