"""Hair, shirt, eyes and teeth of a synthetic subject: displacements of OpenHead's surfaces.

Masks and displacements depend on `anchors`, the vertices on OpenHead's template, in model units.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imavatar_deploy.arrays import Array, Float, Float32, Float64

from ..warm_start.head_surface import HeadSurface, vertex_normals
from .appearance import Haircut
from .noise import fractal_noise, smoothstep, value_noise

EYE_CENTRE = np.array([0.1157, 0.0423, 0.2922], dtype=np.float32)
"""Centre of the eyeball at +x, model units."""
EYE_RADIUS = 0.0605
"""Radius at which the eyeball touches the lids and overlaps the socket: the head is one solid."""

WAKEFULNESS = 0.4
"""Share of the eyeWide expression that belongs to the neutral face."""

COLLAR = np.array(
    [(0, -0.625), (45, -0.585), (90, -0.50), (140, -0.47), (180, -0.465)], dtype=np.float32
)
"""Azimuths from the front about the neck, degrees, and the height of the collar at each."""

SKULL_CENTRE = np.array([0.0, 0.05, 0.0], dtype=np.float32)
HAIRLINE = np.array(
    [
        (0, 34), (12, 33), (22, 34), (32, 37), (44, 33), (54, 24), (62, 8), (70, -8), (76, -14),
        (80, -12), (84, 2), (93, 9), (103, 4), (112, -16), (122, -30), (140, -40), (180, -44),
    ],
    dtype=np.float32,
)  # fmt: skip
"""Azimuths from the front and elevations of the hairline, degrees about the skull's centre.

The order is forehead, temple, sideburn (70-81), ear (93), nape.
"""

DEFAULT_HAIRCUT = Haircut()


def mirror(anchors: Float32[Array, "V 3"]) -> Float32[Array, "V 3"]:
    """Reflect points to +x; the template is symmetric."""
    return np.stack([np.abs(anchors[:, 0]), anchors[:, 1], anchors[:, 2]], axis=1)


def skull_angles(
    anchors: Float32[Array, "V 3"],
) -> tuple[Float32[Array, " V"], Float32[Array, " V"]]:
    """Azimuth from the front (0..180) and elevation, degrees about the skull's centre."""
    x, y, z = (anchors - SKULL_CENTRE).T
    return np.degrees(np.arctan2(np.abs(x), z)), np.degrees(np.arctan2(y, np.hypot(x, z)))


def hairline(azimuth: Float32[Array, " V"], haircut: Haircut) -> Float64[Array, " V"]:
    """Elevation of the hairline, degrees; it recedes over forehead and temples alone."""
    receding = (
        haircut.receding
        * smoothstep(66.0, 50.0, azimuth)
        * (0.55 + 0.45 * smoothstep(5.0, 30.0, azimuth))
    )
    return np.interp(azimuth, HAIRLINE[:, 0], HAIRLINE[:, 1]) + receding


def hair_mask(
    anchors: Float32[Array, "V 3"], haircut: Haircut = DEFAULT_HAIRCUT
) -> Float32[Array, " V"]:
    """Mask of the hair: 1 inside, falling to 0 over a ragged hairline."""
    azimuth, elevation = skull_angles(anchors)
    line = hairline(azimuth, haircut)
    ragged = 2.0 * fractal_noise(anchors * 30.0, 2, seed=1)
    mask = smoothstep(-1.5, 2.5, (elevation - line + ragged).astype(np.float32))
    return mask * (1.0 - ear_mask(anchors))


def ear_mask(anchors: Float32[Array, "V 3"]) -> Float32[Array, " V"]:
    """Mask of the ears, 1 where they stand off the side of the head."""
    x, y, z = mirror(anchors).T
    side = 0.272 + 0.03 * np.clip((y + 0.05) / 0.15, -1, 1)
    inside = (np.abs(y + 0.03) < 0.13) & (z > -0.1) & (z < 0.12)
    return np.where(inside, smoothstep(0.0, 0.012, (x - side).astype(np.float32)), 0.0).astype(
        np.float32
    )


def hair_strands(
    anchors: Float32[Array, "V 3"], haircut: Haircut = DEFAULT_HAIRCUT, fineness: float = 1.0
) -> Float32[Array, " V"]:
    """Relief of the hair from -1 (groove) to 1 (ridge): noise stretched along its direction.

    On top the hair runs from the parting down the sides, at the back it falls from the crown.

    Args:
        fineness: number of locks relative to the default.
    """
    x, y, z = (anchors - SKULL_CENTRE).T
    along = np.arctan2(x - haircut.parting, y + 0.15)
    wave = 0.02 * value_noise(np.stack([along * 3.0, z * 5.0], axis=1), seed=5)
    swept = _locks(z + 0.10 * along + wave, along, fineness)
    fallen = _locks(0.35 * np.arctan2(x, -z) + wave, y * 4.0, fineness)
    behind = smoothstep(-0.02, -0.20, z)
    return np.asarray((1.0 - behind) * swept + behind * fallen)


def _locks(
    across: Float32[Array, " V"], along: Float32[Array, " V"], fineness: float
) -> Float32[Array, " V"]:
    """Noise in two sizes, clumps and locks, that is fine across the hair and long along it."""
    clumps = value_noise(np.stack([across * 16.0 * fineness, along * 1.2], axis=1), seed=2)
    locks = value_noise(np.stack([across * 42.0 * fineness, along * 2.0], axis=1), seed=3)
    return np.asarray(0.6 * clumps + 0.4 * locks, dtype=np.float32)


def hair_height(
    anchors: Float32[Array, "V 3"], haircut: Haircut = DEFAULT_HAIRCUT
) -> Float32[Array, " V"]:
    """Height of the hair over the scalp: full on top and in front, short at sides and nape."""
    azimuth, elevation = skull_angles(anchors)
    strands = hair_strands(anchors, haircut)
    line = hairline(azimuth, haircut)
    inside = smoothstep(-1.0, 14.0, (elevation - line).astype(np.float32))
    top = smoothstep(15.0, 60.0, elevation.astype(np.float32))
    front = smoothstep(70.0, 20.0, azimuth.astype(np.float32)) * smoothstep(
        75.0, 45.0, elevation.astype(np.float32)
    )
    groove = np.exp(-(((anchors[:, 0] - haircut.parting) / 0.022) ** 2))
    parting = groove * smoothstep(25.0, 45.0, elevation.astype(np.float32))
    height = (
        haircut.base
        + haircut.top * top
        + haircut.front * front
        + haircut.relief * strands * (0.4 + top)
    )
    bare = ear_mask(anchors)
    return np.asarray(inside * height * (1.0 - 0.35 * parting) * (1.0 - bare), dtype=np.float32)


def above_collar(anchors: Float32[Array, "V 3"]) -> Float32[Array, " V"]:
    """Height over the collar of the shirt, a ring around the neck that dips in front."""
    x, y, z = anchors.T
    around = np.degrees(np.arctan2(np.abs(x), z + 0.12))
    return np.asarray(y - np.interp(around, COLLAR[:, 0], COLLAR[:, 1]), dtype=np.float32)


def with_hair_and_clothes(
    subject: HeadSurface,
    anchors: Float32[Array, "V 3"],
    haircut: Haircut = DEFAULT_HAIRCUT,
) -> HeadSurface:
    """Raise hair and shirt from the skin, complete eyeballs and gums, and open the eyes wider.

    The shirt is bound to the ghost bone.

    Args:
        subject: OpenHead with the shape of a person.
        anchors: the same vertices on OpenHead's template, model units.
    """
    normals = vertex_normals(subject.rest, subject.faces)
    collar = above_collar(anchors)
    shirt = smoothstep(0.004, -0.004, collar) * (
        0.014 + 0.010 * np.exp(-(((collar + 0.02) / 0.014) ** 2))
    )
    subject = with_wider_eyes(subject)
    rest = subject.rest + (hair_height(anchors, haircut) + shirt)[:, None] * normals
    for part in np.unique(subject.parts):
        own = subject.parts == part
        rest[own] += part_displacement(anchors[own], subject.rest[own])
    still = smoothstep(0.10, -0.06, collar)[:, None]
    weights = subject.weights * (1.0 - still)
    weights[:, :1] += still
    return replace(subject, rest=rest.astype(np.float32), weights=weights.astype(np.float32))


def with_wider_eyes(subject: HeadSurface) -> HeadSurface:
    """Open the eyes a little wider at rest, and let a full blink close them from there."""
    names = subject.head.expression_names
    rest = subject.rest.copy()
    expression = subject.expression.copy()
    for side in ("Left", "Right"):
        lift = WAKEFULNESS * subject.expression[:, :, names.index(f"eyeWide{side}")]
        rest += lift
        expression[:, :, names.index(f"eyeBlink{side}")] -= lift
    return replace(subject, rest=rest, expression=expression)


def part_of(anchors: Float32[Array, "V 3"]) -> str:
    """Name of a connected surface of OpenHead, from its place on the template.

    One of `skin`, `eye`, `tongue`, `upper teeth` and `lower teeth`.
    """
    low = anchors.min(axis=0)
    high = anchors.max(axis=0)
    if high[1] - low[1] > 0.5:
        return "skin"
    if low[1] > -0.1:
        return "eye"
    if low[2] < 0.15:
        return "tongue"
    return "upper teeth" if high[1] > -0.18 else "lower teeth"


def part_displacement(
    anchors: Float32[Array, "V 3"], rest: Float32[Array, "V 3"]
) -> Float[Array, "V 3"]:
    """Displacements of one part that make eyeballs round, show the teeth and bury the gums.

    Args:
        anchors: vertices of the part on OpenHead's template.
        rest: the same vertices of the subject.
    """
    part = part_of(anchors)
    height = anchors[:, 1:2]
    up = np.array([0, 1, 0], dtype=np.float32)
    back = np.array([0, 0, -1], dtype=np.float32)
    if part == "eye":
        outward = rest - (rest.max(axis=0) + rest.min(axis=0)) / 2.0
        return np.asarray(
            outward * (EYE_RADIUS / np.linalg.norm(outward, axis=1, keepdims=True) - 1.0),
            np.float32,
        )
    if part == "upper teeth":
        return up * (0.085 * smoothstep(-0.20, -0.16, height) - 0.026)
    if part == "lower teeth":
        return up * (-0.06 * smoothstep(-0.235, -0.265, height))
    return np.broadcast_to(0.030 * (back - up) if part == "tongue" else 0.0 * up, rest.shape)
