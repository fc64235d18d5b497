"""Keypoints of a track: the tracked head's landmarks in each image, and the box around them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.tracks import FlameTrack

from ..landmarks import landmarks
from .actor import openhead

DECIMALS = 5


def with_keypoints(document: dict[str, Any], track: FlameTrack) -> dict[str, Any]:
    """A `flame_params` document with `flame_keypoints` and `bbox` in every frame, -1..1 across the image."""
    head = openhead().for_subject(track.shape)
    chosen = landmarks(head)
    frames = []
    for entry, frame, camera in zip(document["frames"], track.frames(), track.cameras, strict=True):
        points = UNITS_PER_METRE * head.vertices(frame.expression, frame.pose)[chosen]
        seen = np.round(projected(points, camera).astype(float), DECIMALS)
        box = [*seen.min(axis=0), *seen.max(axis=0)]
        frames.append(entry | {"bbox": [float(edge) for edge in box], "flame_keypoints": seen.tolist()})
    return document | {"frames": frames}


def projected(points: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """[N, 2] column and row of points `[N, 3]`, each from -1 (first edge) to 1."""
    homogeneous = points @ camera.image_matrix(2, 2)[:, :3].T + camera.image_matrix(2, 2)[:, 3]
    return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:] - 1.0, dtype=np.float32)
