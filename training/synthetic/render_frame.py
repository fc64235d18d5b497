"""Picture: what a camera sees of an actor in one frame, with exact mask, labels, normals and depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.rendering.rasteriser import Fragments, Rasteriser
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.tracks import FlameTrack

from ..landmarks import landmarks
from ..warm_start.head_surface import vertex_normals
from ..warm_start.lighting import lit
from .build_subject import SyntheticSubject, openhead

Float = NDArray[np.float32]

FINENESS = 3
"""Samples across a pixel. Odd, so that one lies on its centre, where mask, labels, normal and depth are read."""

SMILE = ("mouthSmileLeft", "mouthSmileRight")


@dataclass(frozen=True)
class RenderedFrame:
    """One frame of S x S pixels; outside the mask colours are white and all else is zero."""

    rgb: Float  # [S, S, 3] 0..1
    mask: NDArray[np.bool_]  # [S, S]
    label: NDArray[np.uint8]  # [S, S]
    normal: Float  # [S, S, 3] unit, model space
    depth: Float  # [S, S] along the camera's axis, model units


class FrameRenderer:
    """Draws one actor again and again, `size` x `size` pixels.

    A pixel's colour is the mean over those of its 3 x 3 samples that meet the actor, so edges against the white
    background stay as hard as the mask.
    """

    def __init__(
        self, actor: SyntheticSubject, camera: Camera, size: int, workers: Workers
    ) -> None:
        self.actor, self.size = actor, size
        self._faces = np.ascontiguousarray(actor.subject.faces, dtype=np.int32)
        fine = FINENESS * size
        self._rasteriser = Rasteriser(self._faces, fine, fine, workers)
        to_fine = np.array(
            [[FINENESS, 0, FINENESS // 2], [0, FINENESS, FINENESS // 2], [0, 0, 1]],
            dtype=np.float32,
        )
        self._matrix = np.ascontiguousarray(to_fine @ camera.image_matrix(size, size))
        self._smile = [actor.subject.head.expression_names.index(name) for name in SMILE]

    def draw(self, expression: Float, pose: Float) -> RenderedFrame:
        """The actor with an expression `[50]` and a pose `[15]`."""
        subject = self.actor.subject
        vertices = subject.posed(expression, pose)
        normals = vertex_normals(vertices, subject.faces)
        seen = self._rasteriser.draw(vertices, self._matrix)
        middle = np.s_[FINENESS // 2 :: FINENESS, FINENESS // 2 :: FINENESS]
        mask = seen.triangle[middle] >= 0
        corners = self._faces[seen.triangle[middle][mask]]
        share = seen.barycentrics[middle][mask]
        nearest = np.take_along_axis(corners, share.argmax(axis=1)[:, None], axis=1)[:, 0]
        return RenderedFrame(
            rgb=self._rgb(seen, mask, normals, float(expression[self._smile].mean())),
            mask=mask,
            label=_spread(self.actor.labels[nearest], mask),
            normal=_spread(_unit(_interpolated(normals, corners, share)), mask),
            depth=_spread(_interpolated(self._depth(vertices), corners, share)[:, 0], mask),
        )

    def _depth(self, vertices: Float) -> Float:
        return np.asarray(vertices @ self._matrix[2, :3] + self._matrix[2, 3], dtype=np.float32)[
            :, None
        ]

    def _rgb(self, seen: Fragments, mask: NDArray[np.bool_], normals: Float, smile: float) -> Float:
        hit = (seen.triangle >= 0) & np.repeat(np.repeat(mask, FINENESS, axis=0), FINENESS, axis=1)
        colour = self.actor.subject.colour + np.float32(smile) * self.actor.subject.flush
        table = np.concatenate([colour, normals], axis=1)
        values = _interpolated(table, self._faces[seen.triangle[hit]], seen.barycentrics[hit])
        unlit, normal = (
            torch.from_numpy(values[:, :3].copy()),
            torch.from_numpy(_unit(values[:, 3:])),
        )
        fine = _spread(lit(unlit, normal).numpy(), hit)
        blocks = (self.size, FINENESS, self.size, FINENESS)
        count = hit.reshape(blocks).sum(axis=(1, 3))
        total = fine.reshape(*blocks, 3).sum(axis=(1, 3))
        mean = total / np.maximum(count, 1)[..., None].astype(np.float32)
        return np.where(mask[..., None], mean, np.float32(1.0))


def _interpolated(values: Float, corners: NDArray[np.int32], share: Float) -> Float:
    return np.asarray(
        sum(share[:, corner, None] * values[corners[:, corner]] for corner in range(3)),
        dtype=np.float32,
    )


def _unit(vectors: Float) -> Float:
    return np.asarray(
        vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12),
        dtype=np.float32,
    )


def _spread(values: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    image = np.zeros((*mask.shape, *values.shape[1:]), dtype=values.dtype)
    image[mask] = values
    return image


# Keypoints of a track: the tracked head's landmarks in each image, and the box around them.


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
        frames.append(
            entry | {"bbox": [float(edge) for edge in box], "flame_keypoints": seen.tolist()}
        )
    return document | {"frames": frames}


def projected(points: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """[N, 2] column and row of points `[N, 3]`, each from -1 (first edge) to 1."""
    homogeneous = points @ camera.image_matrix(2, 2)[:, :3].T + camera.image_matrix(2, 2)[:, 3]
    return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:] - 1.0, dtype=np.float32)
