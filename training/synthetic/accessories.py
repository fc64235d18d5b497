"""Accessories of synthetic subjects: a bob, a bun and glasses, closed surfaces fixed to the head.

Lengths are in model units, places on OpenHead's template.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from imavatar_deploy.arrays import Array, Float, Float32, UInt8
from imavatar_deploy.conventions import BONES

from ..warm_start.head_surface import HeadSurface
from .appearance import Appearance
from .labels import LABELS
from .noise import value_noise
from .solid_meshes import (
    HeadAnchors,
    SolidMesh,
    at,
    grid,
    hair_mesh,
    merge_surfaces,
    tube,
    zero_level_set,
)

# Bob: straight hair that covers the ears and ends at the neck

BOB_STEP = 0.012
"""Spacing of the lattice on which the hair is sampled."""
WIDTH = 0.052
"""Distance of the hair from the temples."""
LENGTH = 0.035
"""Distance of the hair from the back of the head."""
TIP_HEIGHT = -0.40
"""Height of the tips."""
WIDEST_HEIGHT = 0.10
"""Height of the widest place; below it the hair falls straight."""
CURTAIN = ((-0.40, -0.15, 0.10, 0.26), (0.10, 0.085, 0.11, 0.30))
"""Heights, and how far forward the hair reaches at each."""
EDGE = 0.03
"""Radius of the rounded edges."""


def make_bob(head: HeadAnchors, appearance: Appearance) -> SolidMesh:
    """Make a dome over the skull that falls straight from its widest place.

    It is open in front of the face and hollow behind the mouth.
    """
    right = head.place(-0.28, 0.12, 0.02)[0]
    left = head.place(0.28, 0.12, 0.02)[0]
    top = head.place(0, 0.46, 0)[1]
    back = head.place(0, 0.15, -0.37)[2]
    front = head.place(0, 0.2, 0.38)[2]
    middle = at((left + right) / 2.0, WIDEST_HEIGHT, (back + front) / 2.0)
    half = at(
        (left - right) / 2.0 + WIDTH, top + 0.010 - WIDEST_HEIGHT, (front - back) / 2.0 + LENGTH
    )
    low = at(-0.6, TIP_HEIGHT - 0.05, -0.6)
    high = at(0.6, 0.6, 0.5)
    vertices, faces = zero_level_set(_field(grid(low, high, BOB_STEP), middle, half), low, BOB_STEP)
    around = np.arctan2(vertices[:, 0], middle[2] - vertices[:, 2])
    across = np.stack([around * 7.0, 0.9 * vertices[:, 1]], axis=1)
    strands = 0.6 * value_noise(across, seed=31) + 0.4 * value_noise(
        across * np.array([2.7, 1.5]), seed=32
    )
    return hair_mesh(
        (vertices, faces),
        strands,
        0.010,
        appearance.palette.hair_dark,
        appearance.palette.hair_light,
    )


def _field(
    lattice: tuple[
        Float32[Array, "X Y Z"],
        Float32[Array, "X Y Z"],
        Float32[Array, "X Y Z"],
    ],
    middle: Float32[Array, "3"],
    half: Float32[Array, "3"],
) -> Float32[Array, "X Y Z"]:
    """Field of the bob, negative inside the hair.

    The hair is a dome and a straight fall below it, cut by the tips, the face and the mouth.
    """
    x, y, z = lattice
    across = (x - middle[0]) / half[0]
    ahead = (z - middle[2]) / half[2]
    above = np.maximum(y - middle[1], 0.0) / half[1]
    swell = 1.0 - 0.10 * np.clip((y + 0.25) / 0.3, -1.0, 0.0) ** 2
    dome = (np.sqrt((across / swell) ** 2 + above**2 + (ahead / swell) ** 2) - 1.0) * half[0]
    tips = np.asarray(TIP_HEIGHT + 0.03 * np.clip(z / 0.3, -1.0, 1.0) - y, dtype=np.float32)
    face = z - np.interp(y, *CURTAIN).astype(np.float32)
    mouth = 0.1 - 0.1 * np.sqrt(
        (x / 0.14) ** 2 + ((y + 0.22) / 0.13) ** 2 + ((z - 0.10) / 0.20) ** 2
    )
    return np.asarray(
        np.maximum(_intersect_rounded(_intersect_rounded(dome, tips, EDGE), face, EDGE), mouth),
        dtype=np.float32,
    )


def _intersect_rounded(
    a: Float[Array, "X Y Z"], b: Float[Array, "X Y Z"], radius: float
) -> Float32[Array, "X Y Z"]:
    """Field of the intersection of two solids, with a rounded edge."""
    blend = np.clip(0.5 + 0.5 * (b - a) / radius, 0.0, 1.0)
    return np.asarray(a + (b - a) * blend + radius * blend * (1.0 - blend), dtype=np.float32)


# Bun: hair wound to a ball on the crown

BUN_STEP = 0.008
"""Spacing of the lattice on which the bun is sampled."""
RADII = (0.135, 0.115, 0.125)


def make_bun(head: HeadAnchors, appearance: Appearance) -> SolidMesh:
    """Make an ellipsoid half sunk into the crown, with a winding groove."""
    crown = head.place(0.0, 0.44, -0.14)
    middle = crown + at(0.0, 0.075, -0.045)
    low = middle - at(0.2, 0.2, 0.2)
    high = middle + at(0.2, 0.2, 0.2)
    x, y, z = grid(low, high, BUN_STEP)
    squared = sum(
        ((axis - centre) / radius) ** 2
        for axis, centre, radius in zip((x, y, z), middle, RADII, strict=True)
    )
    vertices, faces = zero_level_set((np.sqrt(squared) - 1.0).astype(np.float32), low, BUN_STEP)
    offset = vertices - middle
    turn = np.arctan2(offset[:, 0], offset[:, 2])
    winding = offset[:, 1] / 0.035 + turn / np.pi + 0.5 * np.sin(2.0 * turn)
    grain = value_noise(np.stack([offset[:, 1] * 70.0, turn * 1.5 + 20.0], axis=1), seed=41)
    strands = (0.6 * np.cos(np.pi * winding) + 0.4 * grain).astype(np.float32)
    return hair_mesh(
        (vertices, faces),
        strands,
        0.007,
        appearance.palette.hair_dark,
        appearance.palette.hair_light,
    )


# Glasses: a frame of tubes without lenses

FRAME = (0.10, 0.07, 0.06)
"""Colour of the frame."""
RADIUS = 0.0085
"""Radius of the tubes."""
HALF_WIDTH = 0.088
HALF_HEIGHT = 0.066
RIM_DISTANCE = 0.050
"""Distance of the rims from the eyelids."""


def make_glasses(head: HeadAnchors, appearance: Appearance) -> SolidMesh:
    """Make two rims, a bridge over the nose, and two temples that end behind the ears."""
    eyes = [head.place(side * 0.1157, 0.0423, 0.353) for side in (1, -1)]
    ears = [head.place(side * 0.285, 0.045, 0.0) for side in (1, -1)]
    depth = max(eye[2] for eye in eyes) + RIM_DISTANCE
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
    return merge_surfaces(surfaces, FRAME, "glasses")


def _rim(centre: Float32[Array, "3"]) -> Float32[Array, "N 3"]:
    """Closed path of a rim: a rounded rectangle that follows the curve of the face."""
    turn = np.linspace(0.0, 2.0 * np.pi, 64, endpoint=False)
    x = HALF_WIDTH * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.7
    y = HALF_HEIGHT * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** 0.7
    z = -0.9 * np.maximum(np.abs(centre[0] + x) - 0.10, 0.0) ** 1.5
    return np.asarray(centre + np.stack([x, y, z], axis=1), dtype=np.float32)


def _temple(start: Float32[Array, "3"], ear: Float32[Array, "3"]) -> Float32[Array, "N 3"]:
    """Path of a temple from the rim at `start` over the ear."""
    side = np.sign(ear[0])
    above = at(side * (np.abs(ear[0]) + 0.030), ear[1] + 0.022, ear[2] + 0.02)
    before = at(side * (np.abs(start[0]) + 0.030), start[1] + 0.006, start[2] - 0.06)
    behind = above + at(-side * 0.02, -0.06, -0.09)
    return _curve([start, before, above, behind])


def _curve(corners: list[Float32[Array, "3"]]) -> Float32[Array, "N 3"]:
    """Smooth path along the corners, by Chaikin's corner cutting."""
    path = np.asarray(corners, dtype=np.float32)
    for _ in range(4):
        ahead = np.stack(
            [0.75 * path[:-1] + 0.25 * path[1:], 0.25 * path[:-1] + 0.75 * path[1:]], axis=1
        )
        path = np.concatenate([path[:1], ahead.reshape(-1, 3), path[-1:]])
    return np.asarray(path, dtype=np.float32)


ACCESSORIES: dict[str, Callable[[HeadAnchors, Appearance], SolidMesh]] = {
    "bob": make_bob,
    "bun": make_bun,
    "glasses": make_glasses,
}
"""The functions that make an accessory, by name."""


def with_accessories(
    subject: HeadSurface,
    anchors: Float32[Array, "V 3"],
    labels: UInt8[Array, " V"],
    appearance: Appearance,
    names: tuple[str, ...],
) -> tuple[HeadSurface, UInt8[Array, " W"]]:
    """Add accessories to a subject as further parts.

    Args:
        anchors: the subject's vertices on OpenHead's template.
        labels: the semantic labels of the subject's vertices.
        names: keys of `ACCESSORIES`.

    Returns:
        The subject, and the labels of all of its W vertices.
    """
    head = HeadAnchors(subject.rest, anchors)
    for name in names:
        accessory = ACCESSORIES[name](head, appearance)
        subject = with_accessory(subject, accessory)
        labels = np.concatenate(
            [labels, np.full(len(accessory.vertices), LABELS[accessory.label], dtype=np.uint8)]
        )
    return subject, labels


def with_accessory(subject: HeadSurface, accessory: SolidMesh) -> HeadSurface:
    """Add one part that moves with the neck bone alone, which carries the head."""
    count = len(accessory.vertices)
    size = len(subject.rest)
    weights = np.zeros((count, subject.weights.shape[1]), dtype=np.float32)
    weights[:, weights.shape[1] - len(BONES) + BONES.index("neck")] = 1.0
    return replace(
        subject,
        rest=np.concatenate([subject.rest, accessory.vertices]),
        faces=np.concatenate([subject.faces, accessory.faces + size]),
        parts=np.concatenate([subject.parts, accessory.parts + subject.parts.max() + 1]),
        expression=_extend(subject.expression, count),
        pose=_extend(subject.pose, count),
        weights=np.concatenate([subject.weights, weights]),
        colour=np.concatenate([subject.colour, accessory.colour]),
        flush=_extend(subject.flush, count),
        importance=np.concatenate([subject.importance, np.ones(count, dtype=np.float32)]),
    )


def _extend(values: Float32[Array, "V ..."], count: int) -> Float32[Array, "W ..."]:
    """Append `count` rows of zeros."""
    return np.concatenate([values, np.zeros((count, *values.shape[1:]), dtype=np.float32)])
