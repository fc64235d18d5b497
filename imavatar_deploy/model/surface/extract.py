"""The canonical surface of an implicit avatar as a mesh: coarse-to-fine marching cubes inside the bounding sphere."""

from __future__ import annotations

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.model.implicit_avatar import ImplicitAvatar
from imavatar_deploy.progress import Progress, silent

from .field import Field
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
