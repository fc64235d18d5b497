"""RasterFrames: which point of the surface each pixel of a video's frames shows, and its colour.

The surface is drawn once in every frame, by the rasteriser of the CPU renderer. The refinement then
reads pixels at random, without drawing again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Bool, Float32, Int32, Int64, Shaped, UInt8
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.dataset import FaceDataset
from imavatar_deploy.kinematics import condition_of
from imavatar_deploy.progress import Progress
from imavatar_deploy.rendering.cpu_renderer import SurfacePoser
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

MAX_PIXELS = 40_000_000
"""Largest number of pixels in all pictures together; of more, evenly spaced frames are used.

They and what is stored for each pixel of the face take about 0.7 GB: 150 frames of 512 x 512.
"""

MOUTH = 1
"""Bit of `RasterFrames.region`: the pixel is in the mouth region."""

EYES = 2
"""Bit of `RasterFrames.region`: the pixel is around an eye."""


@dataclass(frozen=True)
class FaceRegions:
    """Balls in canonical space, model units, in which quality is measured separately."""

    mouth: Float32[Array, "3"]
    mouth_radius: float
    eyes: Float32[Array, "2 3"]
    eye_radius: float

    def bits(self, points: Float32[Array, "N 3"]) -> UInt8[Array, " N"]:
        """Return the bits `MOUTH` and `EYES` of canonical points."""
        bits = np.where(_within(points, self.mouth, self.mouth_radius), MOUTH, 0)
        for eye in self.eyes:
            bits |= np.where(_within(points, eye, self.eye_radius), EYES, 0)
        return bits.astype(np.uint8)


def _within(
    points: Float32[Array, "N 3"], centre: Float32[Array, "3"], radius: float
) -> Bool[Array, " N"]:
    return np.asarray(np.linalg.norm(points - centre, axis=1) < radius)


@dataclass(frozen=True)
class Shots:
    """The pictures of T frames with their poses and cameras."""

    expression: Float32[Array, "T E"]
    pose: Float32[Array, "T 15"]
    image_matrix: Float32[Array, "T 3 4"]
    """Projections to pixels, see `Camera.image_matrix`."""
    image: UInt8[Array, "T S S 3"]
    mask: Bool[Array, "T S S"]

    @classmethod
    def load(
        cls, dataset: FaceDataset, rows: Sequence[int] | Int64[Array, " N"], progress: Progress
    ) -> Shots:
        """Decode the pictures of the frames `rows` of a dataset.

        Raises:
            InputError: a picture cannot be read.
        """
        size = dataset.size
        image = np.zeros((len(rows), size, size, 3), dtype=np.uint8)
        mask = np.zeros((len(rows), size, size), dtype=np.bool_)
        with progress("reading the pictures", len(rows)) as advance:
            for place, row in enumerate(map(int, rows)):
                observation = dataset.observation(row)
                image[place] = np.rint(255.0 * observation.image)
                mask[place] = observation.mask
                advance(1)
        track = dataset.track
        return cls(
            track.expression[list(rows)],
            track.pose[list(rows)],
            np.stack([track.cameras[row].image_matrix(size, size) for row in rows]),
            image,
            mask,
        )

    def __len__(self) -> int:
        return len(self.pose)

    @property
    def size(self) -> int:
        """Side of the pictures, S."""
        return int(self.image.shape[1])

    def select(self, rows: Sequence[int] | Int64[Array, " N"]) -> Shots:
        """Return some of the frames."""
        return Shots(*(array[rows] for array in vars(self).values()))


def resized_matrix(matrix: Float32[Array, "T 3 4"], scale: float) -> Float32[Array, "T 3 4"]:
    """Projections to the pixels of pictures that were resized by a factor.

    A pixel at column c of a picture becomes column (c + 1/2) scale - 1/2.

    Args:
        matrix: projections that put it at c scale, as those of a camera do.
        scale: new size by old size.
    """
    shifted = matrix.copy()
    shifted[:, :2] += np.float32(0.5 * (scale - 1.0)) * matrix[:, 2:3]
    return shifted


class PixelBatch(NamedTuple):
    """N pixels, as torch reads them."""

    corners: Tensor  # [N, 3] vertices around the point of the surface
    weights: Tensor  # [N, 3] its barycentric coordinates
    normals: Tensor  # [N, 3] unit
    colours: Tensor  # [N, 3] of the picture


@dataclass(frozen=True)
class RasterFrames:
    """The N pixels of T frames in which the picture's mask and the drawn surface agree.

    The pixels of frame t are rows `first[t]` to `first[t + 1]`, in the order of the image.
    """

    faces: Int32[Array, "F 3"]
    condition: Float32[Array, "T 53"]
    normals: Shaped[Array, "T V 3"]
    """Unit normals of the vertices, half precision."""
    first: Int64[Array, " T+1"]
    face: Int32[Array, " N"]
    weights: Float32[Array, "N 3"]
    """Barycentric coordinates."""
    colour: UInt8[Array, "N 3"]
    right: Int32[Array, " N"]
    """Row of the pixel to the right; the pixel's own row where that is not of the face."""
    below: Int32[Array, " N"]
    """Row of the pixel below, likewise."""
    region: UInt8[Array, " N"]
    """Bits `MOUTH` and `EYES`."""
    place: Int32[Array, " N"]
    """Index of the pixel in the flattened image."""
    special: list[Int64[Array, " _"]]
    """Rows of the pixels of each frame that are in one of the regions."""
    agreement: Float32[Array, " T"]
    """Intersection over union of mask and surface in each frame."""

    @classmethod
    def draw(
        cls, avatar: Avatar, shots: Shots, regions: FaceRegions, progress: Progress
    ) -> RasterFrames:
        """Draw the surface of a baked avatar in every frame."""
        frames = len(shots)
        size = shots.size
        normals = np.zeros((frames, avatar.vertex_count, 3), dtype=np.float16)
        agreement = np.zeros(frames, dtype=np.float32)
        canonical = np.ascontiguousarray(avatar.canonical.T)
        columns = []
        start = 0
        with Workers() as workers, progress("drawing the surface", frames) as advance:
            poser = SurfacePoser(avatar, workers)
            rasteriser = Rasteriser(avatar.faces, size, size, workers)
            for t in range(frames):
                surface = poser(shots.expression[t], shots.pose[t])
                normals[t] = surface.normals
                fragments = rasteriser.draw(surface.vertices, shots.image_matrix[t])
                drawn = fragments.triangle >= 0
                both = drawn & shots.mask[t]
                agreement[t] = both.sum() / max((drawn | shots.mask[t]).sum(), 1)
                face, weights = fragments.triangle[both], fragments.barycentrics[both]
                points = np.einsum("nk,nkc->nc", weights, canonical[avatar.faces[face]])
                neighbours = _neighbours(both, start)
                place = np.flatnonzero(both).astype(np.int32)
                columns.append(
                    (face, weights, shots.image[t][both], *neighbours, regions.bits(points), place)
                )
                start += len(face)
                advance(1)
        lengths = [len(column[0]) for column in columns]
        first = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        of_frames = [list(column) for column in zip(*columns, strict=True)]
        columns.clear()  # so that one column at a time is in memory twice
        joined = []
        while of_frames:
            joined.append(np.concatenate(of_frames.pop(0)))
        face, weights, colour, right, below, region, place = joined
        condition = [
            condition_of(*frame)[0] for frame in zip(shots.expression, shots.pose, strict=True)
        ]
        return cls(
            faces=avatar.faces,
            condition=np.stack(condition).astype(np.float32),
            normals=normals,
            first=first,
            face=face,
            weights=weights,
            colour=colour,
            right=right,
            below=below,
            region=region,
            place=place,
            special=[
                begin + np.flatnonzero(region[begin:end]) for begin, end in pairwise(first.tolist())
            ],
            agreement=agreement,
        )

    def __len__(self) -> int:
        return len(self.condition)

    def rows(self, frame: int) -> Int64[Array, " N"]:
        """Return the rows of the pixels of a frame."""
        return np.arange(self.first[frame], self.first[frame + 1])

    def batch(self, rows: Int64[Array, " N"], frame: Int64[Array, " N"]) -> PixelBatch:
        """Return some pixels.

        Args:
            rows: of the pixels.
            frame: the frame of each.
        """
        corners = self.faces[self.face[rows]].astype(np.int64)
        weights = self.weights[rows]
        normals = np.einsum(
            "nk,nkc->nc", weights, self.normals[frame[:, None], corners].astype(np.float32)
        )
        colours = self.colour[rows].astype(np.float32) / np.float32(255)
        return _pixel_batch(corners, weights, normals, colours)

    def vertices(self, rows: Int64[Array, " N"], frame: int) -> PixelBatch:
        """Return vertices as pixels of a frame; without colours, which are zero."""
        normals = self.normals[frame, rows].astype(np.float32)
        corners = np.repeat(rows[:, None], 3, axis=1)
        weights = np.tile(np.array([1.0, 0.0, 0.0], dtype=np.float32), (len(rows), 1))
        colours = np.zeros((len(rows), 3), dtype=np.float32)
        return _pixel_batch(corners, weights, normals, colours)

    def sight_shares(self, vertex_count: int) -> Float32[Array, " V"]:
        """Return the share of the frames in which each vertex belongs to a face that is in view.

        A face is in view where a pixel shows it that is not at an outline: there pictures mix the
        face with what is behind it, and an inexact tracking shows one for the other.
        """
        own = np.arange(len(self.face))
        has_left, has_above = (np.zeros(len(self.face), dtype=np.bool_) for _ in range(2))
        has_left[self.right[self.right != own]] = True
        has_above[self.below[self.below != own]] = True
        inner = (self.right != own) & (self.below != own) & has_left & has_above
        count = np.zeros(vertex_count, dtype=np.float32)
        for t in range(len(self)):
            rows = self.rows(t)
            count[np.unique(self.faces[self.face[rows[inner[rows]]]])] += 1
        return count / np.float32(max(len(self), 1))


def _pixel_batch(
    corners: Int64[Array, "N 3"],
    weights: Float32[Array, "N 3"],
    normals: Float32[Array, "N 3"],
    colours: Float32[Array, "N 3"],
) -> PixelBatch:
    """Pixels as torch reads them; the normals are scaled to unit length in place."""
    lengths = np.sqrt(np.einsum("nc,nc->n", normals, normals))
    normals /= np.maximum(lengths, 1e-12)[:, None]
    return PixelBatch(*map(torch.from_numpy, (corners, weights, normals, colours)))


def _neighbours(
    pixels: Bool[Array, "S S"], start: int
) -> tuple[Int32[Array, " N"], Int32[Array, " N"]]:
    """Rows of the pixels to the right of and below each pixel, its own where there is none."""
    row = np.full((pixels.shape[0] + 1, pixels.shape[1] + 1), -1, dtype=np.int32)
    own = np.arange(start, start + pixels.sum(), dtype=np.int32)
    row[:-1, :-1][pixels] = own
    right, below = row[:-1, 1:][pixels], row[1:, :-1][pixels]
    return np.where(right < 0, own, right), np.where(below < 0, own, below)
