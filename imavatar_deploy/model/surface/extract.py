"""The canonical surface of an implicit avatar as a mesh: coarse-to-fine marching cubes inside the bounding sphere."""

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

COARSE = 64
"""Cells a side that are all looked at: 4 cm / 4 = 1 cm of head, finer than an ear, a lid or a lock of hair is wide."""

RESOLUTIONS = (64, 128, 256, 512)

PADDING = 1.05
"""The cube is this much larger than the sphere, so that a surface cut off by the sphere stays closed."""


def field_of(avatar: ImplicitAvatar) -> Field:
    """The signed field of an avatar's canonical geometry."""
    return Field(lambda points: avatar.geometry(points)[0], device=next(avatar.parameters()).device)


def extract(
    field: Field, *, resolution: int = 256, components: str = "visible", progress: Progress = silent
) -> Mesh:
    """The zero surface of `field` inside its bounding sphere: closed, wound outwards, no vertex twice.

    Args:
        field: see `field_of`; any signed field will do.
        resolution: cells a side of the cube around the sphere, one of `RESOLUTIONS`.
        components: which connected parts are kept, see `components.keep_components`.
        progress: told of the points that are asked at each level.

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
        field, coarse=COARSE, fine=resolution, half=half, progress=progress
    )
    if not len(lattice.cells):
        raise InputError(
            "the geometry network has no surface inside the bounding sphere; was it trained?"
        )
    return keep_components(marching_cubes(lattice), components)


# The surface of any variant as it is in one frame: a mesh for each expression, which every baseline can give.


def posed_surface(
    model: HeadAvatarModel, frame: Frame, *, resolution: int = 128, progress: Progress = silent
) -> Mesh:
    """The deformed surface of `model` in `frame`, model units.

    A forward variant's canonical surface is extracted (with the frame's geometry code) and its vertices deformed: it
    keeps lips apart that touch. A backward variant's field is extracted where it is asked, in deformed space.

    Args:
        frame: on the model's device.
        resolution: cells a side of the cube around the bounding sphere, one of `extract.RESOLUTIONS`.
        progress: told of the points that are asked at each level.

    Raises:
        UsageError: the resolution is unknown.
        InputError: there is no surface.
    """
    field = Field(_signed_distance(model, frame), device=frame.expression.device)
    mesh = extract(field, resolution=resolution, progress=progress)
    return _deformed(model, mesh, frame) if isinstance(model, ForwardAvatarModel) else mesh


def _signed_distance(model: HeadAvatarModel, frame: Frame) -> Callable[[Tensor], Tensor]:
    """Canonical for a forward variant, deformed for a backward one."""
    if isinstance(model, ForwardAvatarModel):
        code = model.geometry_code(frame)
        return lambda points: model.geometry(points, code).sdf
    return lambda points: model.find_canonical(points, frame).sdf


@torch.no_grad()
def _deformed(model: ForwardAvatarModel, canonical: Mesh, frame: Frame) -> Mesh:
    vertices = torch.from_numpy(canonical.vertices).to(frame.expression.device)
    moved = [
        model.deform(vertices[part], frame.expression, frame.pose) for part in chunks(len(vertices))
    ]
    return Mesh(torch.cat(moved).cpu().numpy(), canonical.faces)
