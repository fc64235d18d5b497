"""Pixels of the reference frames in which a baked avatar shows its parts."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.arrays import Array, Bool
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.fidelity.reference_frames import ReferenceFrames
from imavatar_deploy.rendering.posing import Animator
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

from ..bake import Bake


def part_pixels(avatar: Avatar, bake: Bake, reference: ReferenceFrames) -> list[Bool[Array, "N N"]]:
    """Masks of the pixels of each frame that show parts, or the skin along their openings.

    Args:
        avatar: the baked avatar.
        bake: states which vertices are of parts.
        reference: the frames.
    """
    size = reference.size
    vertices = bake.by_code & ~bake.filled
    if not vertices.any():
        return [np.zeros((size, size), dtype=np.bool_) for _ in reference.pose]
    faces = np.append(vertices[avatar.faces].any(axis=1), False)
    masks = []
    with Workers() as workers:
        animator = Animator(avatar, workers)
        rasteriser = Rasteriser(avatar.faces, size, size, workers)
        frames = zip(reference.expression, reference.pose, reference.image_matrix, strict=True)
        for expression, pose, matrix in frames:
            posed = animator(expression, pose).vertices
            masks.append(faces[rasteriser.draw(posed, matrix).triangle])
    return masks
