"""Semantic labels of a face image: which ids mean what, and the rules that training draws from them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

from .dataset.labels import LABELS


def _ids(*names: str) -> tuple[int, ...]:
    return tuple(LABELS.index(name) for name in names)


SKIN = _ids("skin", "left ear", "right ear", "nose", "neck")
"""Where the surface should lie on the head model."""

MOUTH = _ids("mouth interior", "glasses")
"""The head model has neither."""

HAIR = _ids("hair", "earring")
"""What follows the head."""

CLOTH = _ids("cloth", "necklace")
"""What stays with the ghost bone."""

FEATURES = _ids(
    "left brow", "right brow", "left eye", "right eye", "mouth interior", "upper lip", "lower lip"
)
"""Small and looked at most."""


def labelled(semantic: Tensor | None, ids: tuple[int, ...], like: Tensor) -> Tensor:
    """[N] bool: the pixels whose label is among `ids`; none of them without labels.

    Args:
        semantic: `[N]` label ids, or None.
        like: a tensor of N rows, for count and device.
    """
    if semantic is None:
        return torch.zeros(len(like), dtype=torch.bool, device=like.device)
    return torch.isin(semantic, torch.tensor(ids, device=semantic.device))


# How far the head model is from the camera in each pixel of a frame.


Float = NDArray[np.floating[Any]]

NOWHERE = 1e6
"""Depth of a pixel that does not show the head model."""

EDGE = np.ones((5, 5), np.uint8)
"""Neighbourhood of a pixel whose nearest depth counts: outlines are known to two pixels."""


def head_depth(head: HeadModel, expression: Float, pose: Float, camera: Camera, size: int) -> Float:
    """[S, S] distance of the head model along the camera's axis, model units, or `NOWHERE`."""
    vertices = UNITS_PER_METRE * head.vertices(expression, pose)
    with Workers(1) as workers:
        rasteriser = Rasteriser(head.faces, size, size, workers, cull=False)
        seen = rasteriser.draw(vertices.astype(np.float32), camera.image_matrix(size, size))
    row = camera.world_to_camera[2]
    depth = -(vertices @ row[:3] + row[3])
    pixels = (depth[head.faces[seen.triangle]] * seen.barycentrics).sum(axis=2)
    return np.where(seen.triangle >= 0, pixels, NOWHERE).astype(np.float32)


def nearest_around(depth: Float) -> Float:
    """[S, S] the smallest depth of each pixel's neighbourhood; `NOWHERE` where the head does not fill it."""
    known = cv2.dilate(depth, EDGE) < NOWHERE
    return np.where(known, cv2.erode(depth, EDGE), NOWHERE)


def is_skin(semantic: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """[S, S] pixels whose whole neighbourhood is labelled skin."""
    skin = np.isin(semantic, SKIN).astype(np.uint8)
    return np.asarray(cv2.erode(skin, EDGE) > 0)
