"""PosedPoints: where the head model says the head is in a frame's picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks.track import FlameFrame

Float = NDArray[np.float32]

MOVES = 0.9
"""Share of a vertex that must follow the neck, the jaw or an eye to count as head; the rest is neck and shoulders."""

FRONT = 0.9
"""Quantile of depth above which a vertex of the head belongs to the middle of the face."""


@dataclass(frozen=True)
class Projection:
    """The head's vertices in a picture, as fractions of its side."""

    points: Float  # [N, 2] column and row
    front: Float  # [M, 2] those in the middle of the face
    behind: bool
    """Some of the head is not in front of the camera; the points then mean nothing."""


class PosedPoints:
    """Projects the vertices of a subject's head that follow the skull."""

    def __init__(self, head: HeadModel) -> None:
        self._head = head
        self._moving = np.flatnonzero(head.weights[:, 1:].sum(axis=1) > MOVES)
        depth = head.template[self._moving, 2]
        self._front = depth > np.quantile(depth, FRONT)

    def project(self, frame: FlameFrame) -> Projection:
        """Of one frame, which must have a camera."""
        assert frame.camera is not None
        vertices = UNITS_PER_METRE * self._head.vertices(frame.expression, frame.pose)[self._moving]
        matrix = frame.camera.image_matrix(1, 1)
        column, row, depth = matrix[:, :3] @ vertices.T + matrix[:, 3:]
        behind = bool(depth.min() <= 0)
        points = np.zeros((len(depth), 2), dtype=np.float32)
        if not behind:
            points[:, 0], points[:, 1] = column / depth, row / depth
        return Projection(points, points[self._front], behind)
