"""Fit of teeth, tongue and the inside of the mouth to pictures: their places and their colours.

Few numbers are fitted, a displacement of each of three parts and the colours of nine materials, in
front and at the back. Mouths that open wider than in any picture keep plausible colours: a fit of
single vertices would give those that few pictures show the colours of what covers them there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Float64, Int64
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.rendering.cpu_renderer import SurfacePoser
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

from ..refine.raster_frames import Shots
from .colours import MouthPalette, usual_palette
from .part_mesh import PartMesh, part_number
from .pictures import MouthPictures

PLACED = ("upper teeth", "lower teeth", "tongue")
"""The parts that are displaced."""

STEPS = (0.008, 0.004, 0.002, 0.001)
"""Steps of the search for displacements, model units (2 mm to 0.25 mm)."""

ROUNDS = 4
"""Most rounds of the search with one step."""

LIMIT = 0.03
"""Largest displacement along an axis, model units (7.5 mm)."""

REACH = 0.25
"""Distance from the mouth up to which the skin is drawn, as it covers the parts, model units."""

MARGIN = 8
"""Pixels around the parts in a crop."""

SKIN = 0.05
"""Share of the skin's colour from which a pixel of the lips' inner sides is left out."""

PRIOR = 30.0
"""Weight of the usual colours, in pixels of a material."""

ROBUST = 0.03
"""Error of a colour from which pixels count less."""

REWEIGHTINGS = 5


@dataclass(frozen=True)
class MouthFit:
    """Parts that are fitted to pictures, and what was measured."""

    parts: PartMesh
    """The fitted parts; the given ones where the fit is not better."""
    facts: dict[str, Any]
    """JSON-ready: number of frames, errors on those the fit does not use, displacements."""

    @property
    def note(self) -> str:
        """The result in a sentence."""
        before, after = self.facts["l1_usual"], self.facts["l1_fitted"]
        frames = f"on {self.facts['test_frames']} other frames its L1 is"
        if self.facts["kept"]:
            return f"the inside of the mouth is fitted to images: {frames} {after}, not {before}"
        return f"the inside of the mouth keeps its usual place and colours: {frames} {before}, " + (
            f"and {after} after a fit to images"
        )


@dataclass(frozen=True)
class _Crops:
    """Cut-outs of the pictures around the mouth, in which the parts are drawn."""

    avatar: Avatar
    """The mouth and the skin around it."""
    share: Float32[Array, "V K"]
    """Shares of the materials, in front and at the back; zero for the skin."""
    skin: Float32[Array, " V"]
    """Share of the skin's colour."""
    part: Int64[Array, " V"]
    shots: Shots
    corner: Int64[Array, "T 2"]
    """Column and row of each crop."""
    side: int
    workers: Workers

    def pixels(
        self, shift: Float64[Array, "3 3"], frames: Int64[Array, " F"]
    ) -> tuple[Float32[Array, "N K"], Float32[Array, "N 3"]]:
        """Draw displaced parts: shares of the materials in every pixel, and its colour."""
        moved = replace(self.avatar, rest=self.avatar.rest + _displacements(self.part, shift).T)
        poser = SurfacePoser(moved, self.workers)
        rasteriser = Rasteriser(moved.faces, self.side, self.side, self.workers)
        shares, colours = [], []
        for t in frames.tolist():
            posed = poser.pose(self.shots.expression[t], self.shots.pose[t])
            column, row = self.corner[t]
            matrix = self.shots.image_matrix[t].copy()
            matrix[0] -= np.float32(column) * matrix[2]
            matrix[1] -= np.float32(row) * matrix[2]
            fragments = rasteriser.draw(posed.vertices, matrix)
            drawn = fragments.triangle >= 0
            corners = moved.faces[fragments.triangle[drawn]]
            weights = fragments.barycentrics[drawn].astype(np.float32)
            own = np.einsum("nk,nk->n", weights, self.skin[corners]) < SKIN
            shares.append(np.einsum("nk,nkc->nc", weights[own], self.share[corners[own]]))
            image = self.shots.image[t, row : row + self.side, column : column + self.side]
            colours.append(image[drawn][own].astype(np.float32) / np.float32(255))
        return np.concatenate(shares), np.concatenate(colours)


def _displacements(part: Int64[Array, " V"], shift: Float64[Array, "3 3"]) -> Float32[Array, "V 3"]:
    """The displacement of every vertex, from those of the parts."""
    moved = np.zeros((len(part), 3), dtype=np.float32)
    for name, offset in zip(PLACED, shift, strict=True):
        moved[part == part_number(name)] = offset
    return moved


def fit_mouth(
    avatar: Avatar, parts: PartMesh, pictures: MouthPictures, progress: Progress = silent
) -> MouthFit:
    """Fit the parts of a mouth to pictures.

    Places and colours are fitted to every second frame, and kept if they are better on the others.

    Args:
        avatar: the avatar of skin and parts; its colours are not used.
        parts: its last vertices.
        pictures: frames with an open mouth.
        progress: shows how far the work is.
    """
    with Workers() as workers:
        return _fitted(_crops(avatar, parts, pictures.shots, workers), parts, progress)


def _fitted(crops: _Crops, parts: PartMesh, progress: Progress) -> MouthFit:
    """The better one of the parts as they are and as they are fitted."""
    usual = usual_palette()
    start = np.zeros((len(PLACED), 3))
    fitted, test = (np.arange(first, len(crops.shots), 2) for first in (0, 1))
    shift = _search(crops, fitted, progress)
    palette = _palette(*crops.pixels(shift, fitted))
    before = _error(usual, *crops.pixels(start, test))
    after = _error(palette, *crops.pixels(shift, test))
    kept = after < before
    facts = {
        "frames": len(fitted),
        "test_frames": len(test),
        "l1_usual": round(before, 4),
        "l1_fitted": round(after, 4),
        "kept": kept,
        "displacement_mm": {
            name: [round(1000.0 / UNITS_PER_METRE * value, 2) for value in row]
            for name, row in zip(PLACED, shift.tolist(), strict=True)
        },
    }
    if not kept:
        return MouthFit(parts, facts)
    palette = _palette(*crops.pixels(shift, np.arange(len(crops.shots))))
    rest = parts.rest + _displacements(parts.part.astype(np.int64), shift)
    return MouthFit(replace(parts, rest=rest).painted(palette), facts)


def _crops(avatar: Avatar, parts: PartMesh, shots: Shots, workers: Workers) -> _Crops:
    skin_count = avatar.vertex_count - len(parts.part)
    part = np.concatenate([np.zeros(skin_count, np.int64), parts.part.astype(np.int64)])
    made = np.pad(parts.material.any(axis=1), (skin_count, 0))
    middle = avatar.canonical[:, part == part_number("mouth")].mean(axis=1, keepdims=True)
    used = made | (np.linalg.norm(avatar.canonical - middle, axis=0) < REACH)
    shade = parts.shade[:, None]
    share = np.concatenate([(1.0 - shade) * parts.material, shade * parts.material], axis=1)
    corner, side = _places(_part_of(avatar, made), shots, workers)
    return _Crops(
        avatar=_part_of(avatar, used),
        share=np.pad(share, ((skin_count, 0), (0, 0)))[used],
        skin=np.pad(parts.skin_share, (skin_count, 0), constant_values=1.0)[used],
        part=part[used],
        shots=shots,
        corner=corner,
        side=side,
        workers=workers,
    )


def _part_of(avatar: Avatar, used: Bool[Array, " V"]) -> Avatar:
    """The avatar of some vertices and the faces between them."""
    number = np.cumsum(used) - 1
    return replace(
        avatar,
        rest=np.ascontiguousarray(avatar.rest[:, used]),
        canonical=np.ascontiguousarray(avatar.canonical[:, used]),
        faces=number[avatar.faces[used[avatar.faces].all(axis=1)]].astype(np.int32),
        expression_basis=np.ascontiguousarray(avatar.expression_basis[..., used]),
        pose_basis=np.ascontiguousarray(avatar.pose_basis[..., used]),
        normal_detail=np.ascontiguousarray(avatar.normal_detail[:, used]),
        skin_weights=np.ascontiguousarray(avatar.skin_weights[:, used]),
        texture_code=avatar.texture_code[used],
    )


def _places(mouth: Avatar, shots: Shots, workers: Workers) -> tuple[Int64[Array, "T 2"], int]:
    """Corners of square crops around the parts of a mouth, and their common side."""
    low = np.zeros((len(shots), 2))
    high = np.zeros((len(shots), 2))
    poser = SurfacePoser(mouth, workers)
    for t in range(len(shots)):
        vertices = poser.pose(shots.expression[t], shots.pose[t]).vertices
        matrix = shots.image_matrix[t]
        projected = vertices @ matrix[:, :3].T + matrix[:, 3]
        places = projected[:, :2] / projected[:, 2:]
        low[t], high[t] = places.min(axis=0), places.max(axis=0)
    side = int(min(np.ceil((high - low).max()) + 2 * MARGIN, shots.size))
    corner = np.rint((low + high - side) / 2.0).astype(np.int64)
    return corner.clip(0, shots.size - side), side


def _search(crops: _Crops, frames: Int64[Array, " N"], progress: Progress) -> Float64[Array, "3 3"]:
    """Displacements of the parts with the smallest error, by steps along single axes."""
    best = np.zeros((len(PLACED), 3))

    def error(shift: Float64[Array, "3 3"]) -> float:
        pixels = crops.pixels(shift, frames)
        return _error(_palette(*pixels), *pixels)

    least = error(best)
    with progress("placing teeth and tongue", len(STEPS) * ROUNDS) as advance:
        for step in STEPS:
            for left in range(ROUNDS, 0, -1):
                before = least
                for place in np.ndindex(best.shape):
                    for sign in (1.0, -1.0):
                        trial = best.copy()
                        trial[place] = np.clip(trial[place] + sign * step, -LIMIT, LIMIT)
                        if (value := error(trial)) < least:
                            best, least = trial, value
                            break
                if least == before:
                    advance(left)
                    break
                advance(1)
    return best


def _palette(share: Float32[Array, "N K"], colours: Float32[Array, "N 3"]) -> MouthPalette:
    """The colours of the materials that fit pixels best, by reweighted least squares."""
    usual = usual_palette()
    prior = np.concatenate([usual.front, usual.back]).astype(np.float64)
    weight = np.ones(len(share))
    fit = prior.copy()
    for _ in range(REWEIGHTINGS):
        weighted = (share * weight[:, None]).T
        matrix = weighted @ share + PRIOR * np.eye(len(prior))
        fit[:] = np.linalg.solve(matrix, weighted @ colours + PRIOR * prior)
        residual = np.abs(share @ fit - colours).mean(axis=1)
        weight = ROBUST / np.maximum(residual, ROBUST)
    front, back = np.split(fit.clip(0.0, 1.0).astype(np.float32), 2)
    return MouthPalette(front, back)


def _error(
    palette: MouthPalette, share: Float32[Array, "N K"], colours: Float32[Array, "N 3"]
) -> float:
    """Mean absolute difference of colours in 0..1; infinite where no pixel shows a part."""
    if not len(share):
        return np.inf
    materials = np.concatenate([palette.front, palette.back])
    return float(np.abs(share @ materials - colours).mean())
