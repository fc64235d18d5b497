"""Semantic labels in training: groups of label ids, pixels of skin, and depth of the head model."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Bool, Float, Float32, UInt8
from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.dataset.labels import LABELS
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers


def _ids(*names: str) -> tuple[int, ...]:
    return tuple(LABELS.index(name) for name in names)


SKIN_LABELS = _ids("skin", "left ear", "right ear", "nose", "neck")
"""Labels whose surface lies on the head model."""

ABSENT_LABELS = _ids("mouth interior", "glasses")
"""Labels of what the head model lacks: the inside of the mouth, and glasses."""

NECK_BONE_LABELS = _ids("hair", "earring")
"""Labels of what follows the neck bone, which moves the skull: hair and earrings."""

GHOST_BONE_LABELS = _ids("cloth", "necklace")
"""Labels of what follows the ghost bone: clothes and necklaces."""

FEATURE_LABELS = _ids(
    "left brow", "right brow", "left eye", "right eye", "mouth interior", "upper lip", "lower lip"
)
"""Labels of the small regions that matter most to a viewer: brows, eyes and mouth."""

EMPTY_DEPTH = 1e6
"""Depth of a pixel that does not show the head model."""

NEIGHBOURHOOD = np.ones((5, 5), np.uint8)
"""The 5 x 5 pixels around a pixel: outlines of labels and head model are exact to two pixels."""


def has_label(semantic: Tensor | None, ids: tuple[int, ...], like: Tensor) -> Tensor:
    """Which pixels have a label among `ids`, `[N]` bool; all False without labels.

    Args:
        semantic: `[N]` label ids, or None.
        like: tensor of N rows that gives the length and device of the result.
    """
    if semantic is None:
        return torch.zeros(len(like), dtype=torch.bool, device=like.device)
    return torch.isin(semantic, torch.tensor(ids, device=semantic.device))


def head_depth(
    head: HeadModel,
    expression: Float32[Array, " E"],
    pose: Float32[Array, "15"],
    camera: Camera,
    size: int,
) -> Float32[Array, "S S"]:
    """Depth of the head model along the camera's axis, model units; `EMPTY_DEPTH` off the head."""
    vertices = UNITS_PER_METRE * head.vertices(expression, pose)
    with Workers(1) as workers:
        rasteriser = Rasteriser(head.faces, size, size, workers, cull=False)
        fragments = rasteriser.draw(vertices.astype(np.float32), camera.image_matrix(size, size))
    row = camera.world_to_camera[2]
    depth = -(vertices @ row[:3] + row[3])
    pixels = (depth[head.faces[fragments.triangle]] * fragments.barycentrics).sum(axis=2)
    return np.where(fragments.triangle >= 0, pixels, EMPTY_DEPTH).astype(np.float32)


def nearest_around(depth: Float[Array, "H W"]) -> Float[Array, "H W"]:
    """Smallest depth around each pixel; `EMPTY_DEPTH` where the head does not fill the window."""
    known = cv2.dilate(depth, NEIGHBOURHOOD) < EMPTY_DEPTH
    return np.where(known, cv2.erode(depth, NEIGHBOURHOOD), EMPTY_DEPTH)


def is_skin(semantic: UInt8[Array, "H W"]) -> Bool[Array, "H W"]:
    """Which pixels have a neighbourhood that is all labelled skin."""
    skin = np.isin(semantic, SKIN_LABELS).astype(np.uint8)
    return np.asarray(cv2.erode(skin, NEIGHBOURHOOD) > 0)
