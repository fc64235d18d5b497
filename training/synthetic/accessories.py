"""Pieces a synthetic subject wears: closed surfaces fixed to the head, which the head model knows nothing of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import BONES

from ..warm_start.head_surface import HeadSurface
from .appearance import Appearance
from .labels import LABELS
from .noise import value_noise
from .solid_meshes import HeadAnchors, SolidMesh, at, combed, gathered, grid, solid, tube

# A bob: straight hair that covers the ears and ends at the neck.


Float = NDArray[np.float32]

BOB_STEP = 0.012

WIDTH, LENGTH = 0.052, 0.035
"""How far the hair stands off the temples and the back of the head."""

END = -0.40
"""Height of the tips."""

WIDEST = 0.10
"""Height from which the hair falls."""

CURTAIN = ((-0.40, -0.15, 0.10, 0.26), (0.10, 0.085, 0.11, 0.30))
"""Height, and how far forward the hair comes."""

EDGE = 0.03


def make_bob(fitting: HeadAnchors, looks: Appearance) -> SolidMesh:
    """A dome over the skull that falls straight from its widest place, open in front and hollow behind the mouth."""
    right, left = fitting.place(-0.28, 0.12, 0.02)[0], fitting.place(0.28, 0.12, 0.02)[0]
    top, back, front = (
        fitting.place(0, 0.46, 0)[1],
        fitting.place(0, 0.15, -0.37)[2],
        fitting.place(0, 0.2, 0.38)[2],
    )
    middle = at((left + right) / 2.0, WIDEST, (back + front) / 2.0)
    half = at((left - right) / 2.0 + WIDTH, top + 0.010 - WIDEST, (front - back) / 2.0 + LENGTH)
    low, high = at(-0.6, END - 0.05, -0.6), at(0.6, 0.6, 0.5)
    vertices, faces = solid(_field(grid(low, high, BOB_STEP), middle, half), low, BOB_STEP)
    around = np.arctan2(vertices[:, 0], middle[2] - vertices[:, 2])
    across = np.stack([around * 7.0, 0.9 * vertices[:, 1]], axis=1)
    strands = 0.6 * value_noise(across, seed=31) + 0.4 * value_noise(
        across * np.array([2.7, 1.5]), seed=32
    )
    return combed(
        (vertices, faces), strands, 0.010, looks.palette.hair_dark, looks.palette.hair_light
    )


def _field(lattice: tuple[Float, Float, Float], middle: Float, half: Float) -> Float:
    """Negative inside the hair: a dome and what falls from it, above the tips, behind the face, around the mouth."""
    x, y, z = lattice
    across, ahead = (x - middle[0]) / half[0], (z - middle[2]) / half[2]
    above = np.maximum(y - middle[1], 0.0) / half[1]
    swell = 1.0 - 0.10 * np.clip((y + 0.25) / 0.3, -1.0, 0.0) ** 2
    dome = (np.sqrt((across / swell) ** 2 + above**2 + (ahead / swell) ** 2) - 1.0) * half[0]
    tips = np.asarray(END + 0.03 * np.clip(z / 0.3, -1.0, 1.0) - y, dtype=np.float32)
    face = z - np.interp(y, *CURTAIN).astype(np.float32)
    mouth = 0.1 - 0.1 * np.sqrt(
        (x / 0.14) ** 2 + ((y + 0.22) / 0.13) ** 2 + ((z - 0.10) / 0.20) ** 2
    )
    return np.asarray(
        np.maximum(_rounded(_rounded(dome, tips, EDGE), face, EDGE), mouth), dtype=np.float32
    )


def _rounded(a: Float, b: Float, radius: float) -> Float:
    """Intersection of two solids with a rounded edge."""
    blend = np.clip(0.5 + 0.5 * (b - a) / radius, 0.0, 1.0)
    return np.asarray(a + (b - a) * blend + radius * blend * (1.0 - blend), dtype=np.float32)


# A bun: hair wound to a ball on the crown.


BUN_STEP = 0.008

RADII = (0.135, 0.115, 0.125)


def make_bun(fitting: HeadAnchors, looks: Appearance) -> SolidMesh:
    """An ellipsoid half sunk into the crown, with a winding groove."""
    crown = fitting.place(0.0, 0.44, -0.14)
    middle = crown + at(0.0, 0.075, -0.045)
    low, high = middle - at(0.2, 0.2, 0.2), middle + at(0.2, 0.2, 0.2)
    x, y, z = grid(low, high, BUN_STEP)
    squared = sum(
        ((axis - centre) / radius) ** 2
        for axis, centre, radius in zip((x, y, z), middle, RADII, strict=True)
    )
    vertices, faces = solid((np.sqrt(squared) - 1.0).astype(np.float32), low, BUN_STEP)
    offset = vertices - middle
    turn = np.arctan2(offset[:, 0], offset[:, 2])
    winding = offset[:, 1] / 0.035 + turn / np.pi + 0.5 * np.sin(2.0 * turn)
    grain = value_noise(np.stack([offset[:, 1] * 70.0, turn * 1.5 + 20.0], axis=1), seed=41)
    strands = (0.6 * np.cos(np.pi * winding) + 0.4 * grain).astype(np.float32)
    return combed(
        (vertices, faces), strands, 0.007, looks.palette.hair_dark, looks.palette.hair_light
    )


# Glasses: a frame of tubes without panes.


FRAME = (0.10, 0.07, 0.06)

RADIUS = 0.0085

HALF_WIDTH, HALF_HEIGHT = 0.088, 0.066

AHEAD = 0.050
"""How far the rims stand before the eyelids."""


def make_glasses(fitting: HeadAnchors, looks: Appearance) -> SolidMesh:
    """Two rims, a bridge over the nose, and two temples that end behind the ears."""
    eyes = [fitting.place(side * 0.1157, 0.0423, 0.353) for side in (1, -1)]
    ears = [fitting.place(side * 0.285, 0.045, 0.0) for side in (1, -1)]
    depth = max(eye[2] for eye in eyes) + AHEAD
    rims = [_rim(at(eye[0], eye[1] - 0.008, depth)) for eye in eyes]
    inner = [rim[np.argmin(np.abs(rim[:, 0]) - 0.3 * rim[:, 1])] for rim in rims]
    outer = [rim[np.argmax(np.abs(rim[:, 0]) + 0.3 * rim[:, 1])] for rim in rims]
    top = np.mean(inner, axis=0) + at(0.0, 0.012, 0.012)
    surfaces = [tube(rim, RADIUS, closed=True) for rim in rims]
    surfaces.append(tube(_curve([inner[0], top, inner[1]]), RADIUS, closed=False))
    surfaces += [
        tube(_temple(start, ear), RADIUS, closed=False)
        for start, ear in zip(outer, ears, strict=True)
    ]
    return gathered(surfaces, FRAME, "glasses")


def _rim(centre: Float) -> Float:
    """A rounded rectangle that follows the curve of the face."""
    turn = np.linspace(0.0, 2.0 * np.pi, 64, endpoint=False)
    x = HALF_WIDTH * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.7
    y = HALF_HEIGHT * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** 0.7
    z = -0.9 * np.maximum(np.abs(centre[0] + x) - 0.10, 0.0) ** 1.5
    return np.asarray(centre + np.stack([x, y, z], axis=1), dtype=np.float32)


def _temple(start: Float, ear: Float) -> Float:
    side = np.sign(ear[0])
    above = at(side * (np.abs(ear[0]) + 0.030), ear[1] + 0.022, ear[2] + 0.02)
    before = at(side * (np.abs(start[0]) + 0.030), start[1] + 0.006, start[2] - 0.06)
    behind = above + at(-side * 0.02, -0.06, -0.09)
    return _curve([start, before, above, behind])


def _curve(corners: list[Float]) -> Float:
    """A path through the corners, in even steps, with its corners cut."""
    path = np.asarray(corners, dtype=np.float32)
    for _ in range(4):
        ahead = np.stack(
            [0.75 * path[:-1] + 0.25 * path[1:], 0.25 * path[:-1] + 0.75 * path[1:]], axis=1
        )
        path = np.concatenate([path[:1], ahead.reshape(-1, 3), path[-1:]])
    return np.asarray(path, dtype=np.float32)


PIECES: dict[str, Callable[[HeadAnchors, Appearance], SolidMesh]] = {
    "bob": make_bob,
    "bun": make_bun,
    "glasses": make_glasses,
}
"""Every piece by name."""


def wearing(
    subject: HeadSurface,
    anchors: Float,
    labels: NDArray[np.uint8],
    looks: Appearance,
    names: tuple[str, ...],
) -> tuple[HeadSurface, NDArray[np.uint8]]:
    """The subject with the named pieces as further parts, and the labels `[V]` of all of its vertices."""
    fitting = HeadAnchors(subject.rest, anchors)
    for name in names:
        piece = PIECES[name](fitting, looks)
        subject = joined(subject, piece)
        labels = np.concatenate(
            [labels, np.full(len(piece.vertices), LABELS[piece.label], dtype=np.uint8)]
        )
    return subject, labels


def joined(subject: HeadSurface, piece: SolidMesh) -> HeadSurface:
    """The subject with one more part, which moves with the head's bone alone."""
    count, size = len(piece.vertices), len(subject.rest)
    weights = np.zeros((count, subject.weights.shape[1]), dtype=np.float32)
    weights[:, weights.shape[1] - len(BONES) + BONES.index("neck")] = 1.0
    return replace(
        subject,
        rest=np.concatenate([subject.rest, piece.vertices]),
        faces=np.concatenate([subject.faces, piece.faces + size]),
        parts=np.concatenate([subject.parts, piece.parts + subject.parts.max() + 1]),
        expression=_extended(subject.expression, count),
        pose=_extended(subject.pose, count),
        weights=np.concatenate([subject.weights, weights]),
        colour=np.concatenate([subject.colour, piece.colour]),
        flush=_extended(subject.flush, count),
        importance=np.concatenate([subject.importance, np.ones(count, dtype=np.float32)]),
    )


def _extended(values: Float, count: int) -> Float:
    return np.concatenate([values, np.zeros((count, *values.shape[1:]), dtype=np.float32)])
