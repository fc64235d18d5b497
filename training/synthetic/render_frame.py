"""Renders frames of a synthetic subject with exact mask, labels, normals, depth and keypoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from imavatar_deploy.arrays import Array, Bool, Float, Float32, Int32, Shaped, UInt8
from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.head_fit.ibug_landmarks import landmark_vertices
from imavatar_deploy.rendering.rasteriser import Fragments, Rasteriser
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.tracks import FlameTrack

from ..warm_start.head_surface import vertex_normals
from ..warm_start.lighting import apply_light
from .build_subject import SyntheticSubject, openhead

FINENESS = 3
"""Samples across a pixel. An odd number puts one on its centre, where all but colour is read."""

SMILE = ("mouthSmileLeft", "mouthSmileRight")
"""Expressions that redden the cheeks."""

DECIMALS = 5
"""Decimals of keypoints and boxes."""


@dataclass(frozen=True)
class RenderedFrame:
    """One frame of S x S pixels; outside the mask colours are white and all else is zero."""

    rgb: Float32[Array, "S S 3"]  # 0..1
    mask: Bool[Array, "S S"]
    label: UInt8[Array, "S S"]
    normal: Float32[Array, "S S 3"]  # unit, model space
    depth: Float32[Array, "S S"]  # along the camera's axis, model units


class FrameRenderer:
    """Renders frames of one subject with one camera.

    The colour of a pixel is the mean over those of its 3 x 3 samples that hit the subject, so that
    edges against the white background stay as hard as the mask.

    Args:
        size: pixels a side.
    """

    def __init__(
        self, subject: SyntheticSubject, camera: Camera, size: int, workers: Workers
    ) -> None:
        self.subject = subject
        self.size = size
        self._faces = np.ascontiguousarray(subject.surface.faces, dtype=np.int32)
        fine = FINENESS * size
        self._rasteriser = Rasteriser(self._faces, fine, fine, workers)
        to_fine = np.array(
            [[FINENESS, 0, FINENESS // 2], [0, FINENESS, FINENESS // 2], [0, 0, 1]],
            dtype=np.float32,
        )
        self._matrix = np.ascontiguousarray(to_fine @ camera.image_matrix(size, size))
        self._smile = [subject.surface.head.expression_names.index(name) for name in SMILE]

    def draw(self, expression: Float32[Array, " E"], pose: Float32[Array, "15"]) -> RenderedFrame:
        """Render the subject with an expression and a pose."""
        surface = self.subject.surface
        vertices = surface.pose_vertices(expression, pose)
        normals = vertex_normals(vertices, surface.faces)
        fragments = self._rasteriser.draw(vertices, self._matrix)
        centre = np.s_[FINENESS // 2 :: FINENESS, FINENESS // 2 :: FINENESS]
        mask = fragments.triangle[centre] >= 0
        corners = self._faces[fragments.triangle[centre][mask]]
        barycentrics = fragments.barycentrics[centre][mask]
        nearest = np.take_along_axis(corners, barycentrics.argmax(axis=1)[:, None], axis=1)[:, 0]
        depth = _interpolate(self._depth(vertices), corners, barycentrics)[:, 0]
        return RenderedFrame(
            rgb=self._rgb(fragments, mask, normals, float(expression[self._smile].mean())),
            mask=mask,
            label=_scatter(self.subject.labels[nearest], mask),
            normal=_scatter(_unit(_interpolate(normals, corners, barycentrics)), mask),
            depth=_scatter(depth, mask),
        )

    def _depth(self, vertices: Float32[Array, "V 3"]) -> Float32[Array, "V 1"]:
        depth = vertices @ self._matrix[2, :3] + self._matrix[2, 3]
        return np.asarray(depth, dtype=np.float32)[:, None]

    def _rgb(
        self,
        fragments: Fragments,
        mask: Bool[Array, "S S"],
        normals: Float32[Array, "V 3"],
        smile: float,
    ) -> Float32[Array, "S S 3"]:
        surface = self.subject.surface
        in_mask = np.repeat(np.repeat(mask, FINENESS, axis=0), FINENESS, axis=1)
        hit = (fragments.triangle >= 0) & in_mask
        colour = surface.colour + np.float32(smile) * surface.flush
        values = _interpolate(
            np.concatenate([colour, normals], axis=1),
            self._faces[fragments.triangle[hit]],
            fragments.barycentrics[hit],
        )
        unlit = torch.from_numpy(values[:, :3].copy())
        normal = torch.from_numpy(_unit(values[:, 3:]))
        fine = _scatter(apply_light(unlit, normal).numpy(), hit)
        blocks = (self.size, FINENESS, self.size, FINENESS)
        count = hit.reshape(blocks).sum(axis=(1, 3))
        total = fine.reshape(*blocks, 3).sum(axis=(1, 3))
        mean = total / np.maximum(count, 1)[..., None].astype(np.float32)
        return np.where(mask[..., None], mean, np.float32(1.0))


def _interpolate(
    values: Float32[Array, "V C"],
    corners: Int32[Array, "N 3"],
    barycentrics: Float32[Array, "N 3"],
) -> Float32[Array, "N C"]:
    return np.asarray(
        sum(barycentrics[:, corner, None] * values[corners[:, corner]] for corner in range(3)),
        dtype=np.float32,
    )


def _unit(vectors: Float32[Array, "N 3"]) -> Float32[Array, "N 3"]:
    return np.asarray(
        vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12),
        dtype=np.float32,
    )


def _scatter(values: Shaped[Array, "N ..."], mask: Bool[Array, "H W"]) -> Shaped[Array, "H W ..."]:
    """Image with the values in the mask, row by row, and zeros elsewhere."""
    image = np.zeros((*mask.shape, *values.shape[1:]), dtype=values.dtype)
    image[mask] = values
    return image


# Keypoints


def with_keypoints(document: dict[str, Any], track: FlameTrack) -> dict[str, Any]:
    """Add `flame_keypoints` and their `bbox` to every frame of a `flame_params` document.

    Keypoints are the landmarks of the tracked head, which lacks the subject's individual variation.
    Coordinates run from -1 to 1 across the image.
    """
    head = openhead().for_subject(track.shape)
    vertices = landmark_vertices(head)
    frames = []
    for entry, frame, camera in zip(document["frames"], track.frames(), track.cameras, strict=True):
        points = UNITS_PER_METRE * head.vertices(frame.expression, frame.pose)[vertices]
        keypoints = np.round(project(points, camera).astype(float), DECIMALS)
        box = [*keypoints.min(axis=0), *keypoints.max(axis=0)]
        frames.append(
            entry | {"bbox": [float(edge) for edge in box], "flame_keypoints": keypoints.tolist()}
        )
    return document | {"frames": frames}


def project(points: Float[Array, "N 3"], camera: Camera) -> Float32[Array, "N 2"]:
    """Project points to column and row, each from -1 at the first edge of the image to 1."""
    homogeneous = points @ camera.image_matrix(2, 2)[:, :3].T + camera.image_matrix(2, 2)[:, 3]
    return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:] - 1.0, dtype=np.float32)
