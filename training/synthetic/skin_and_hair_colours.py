"""Colours of a synthetic head: skin, lips, brows, eyes, teeth, hair and shirt.

Masks and colours are computed per vertex from `anchors`, the vertices on OpenHead's template in
model units. `folded` are anchors reflected to +x (`mirrored`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imavatar_deploy.arrays import Array, Float32

from ..warm_start.head_surface import HeadSurface
from ..warm_start.surface_distance import openness
from .appearance import DEFAULT_APPEARANCE, Appearance
from .hair_and_clothes import (
    EYE_CENTRE,
    above_collar,
    ear_mask,
    hair_mask,
    hair_strands,
    mirror,
    part_of,
)
from .noise import fractal_noise, smoothstep, value_noise

MOUTH = (0.42, 0.14, 0.14)
TEETH = (0.95, 0.92, 0.85)
GUMS = (0.72, 0.36, 0.35)
TONGUE = (0.78, 0.38, 0.37)
SCLERA = (0.96, 0.95, 0.94)
VEINS = (0.88, 0.70, 0.66)
SMILE_FLUSH = (0.02, -0.035, -0.03)
"""Colour that a full smile adds to the cheeks."""
FOLD_TINT = (0.75, 1.05, 1.15)
"""Exponents of the shade in folds per channel: light that comes through skin is red."""

BROW_LINE = np.array(
    [(0.035, 0.117), (0.07, 0.123), (0.12, 0.129), (0.17, 0.120), (0.21, 0.098)], dtype=np.float32
)
"""Distances from the middle, and the height of the brow's centre line at each."""
UPPER_LIP = np.array(
    [(0.0, -0.182), (0.018, -0.175), (0.05, -0.188), (0.085, -0.212), (0.105, -0.222)],
    dtype=np.float32,
)
"""Distances from the middle, and the height of the upper edge of the lips at each."""
LOWER_LIP = np.array(
    [(0.0, -0.271), (0.03, -0.269), (0.06, -0.257), (0.09, -0.236), (0.105, -0.222)],
    dtype=np.float32,
)
"""Distances from the middle, and the height of the lower edge of the lips at each."""

CATCH_LIGHT = (-0.011, 0.013, 0.058)
"""Position of the key light's reflection on an eyeball, from its centre."""

MOUTH_WALL = np.array(
    [(-0.345, 0.29), (-0.32, 0.335), (-0.295, 0.370), (-0.28, 0.390), (-0.27, 0.402)],
    dtype=np.float32,
)
"""Heights, and how far forward the inside of the mouth reaches there in the middle of the face."""


def with_colours(
    subject: HeadSurface,
    anchors: Float32[Array, "V 3"],
    appearance: Appearance = DEFAULT_APPEARANCE,
) -> HeadSurface:
    """Set the colours, the flush of a smile and the sampling density of a dressed subject."""
    colour = np.zeros_like(subject.rest)
    for part in np.unique(subject.parts):
        own = subject.parts == part
        colour[own] = PAINTERS[part_of(anchors[own])](anchors[own], appearance)
    shade = 0.45 + 0.55 * smoothstep(0.0, 0.85, openness(subject))
    folds = shade[:, None] ** np.asarray(FOLD_TINT, dtype=np.float32)
    cheeks = cheek_mask(anchors)[:, None]
    return replace(
        subject,
        colour=np.clip(colour * folds, 0.0, 1.0).astype(np.float32),
        flush=np.asarray(SMILE_FLUSH, dtype=np.float32) * cheeks,
        importance=importance(anchors),
    )


def blend(
    under: Float32[Array, "V 3"],
    over: tuple[float, float, float] | Float32[Array, "V 3"],
    mask: Float32[Array, " V"],
) -> Float32[Array, "V 3"]:
    """Blend colours: `under` where the mask is 0, `over` where it is 1."""
    return np.asarray(
        under + mask[:, None] * (np.asarray(over, dtype=np.float32) - under), dtype=np.float32
    )


def spot(
    points: Float32[Array, "V 3"], centre: tuple[float, float, float], radius: float
) -> Float32[Array, " V"]:
    """Mask of a soft round spot: a Gaussian of the distance from a centre."""
    distance = np.linalg.norm(points - np.asarray(centre, dtype=np.float32), axis=1)
    return np.asarray(np.exp(-((distance / radius) ** 2)), dtype=np.float32)


def cheek_mask(anchors: Float32[Array, "V 3"]) -> Float32[Array, " V"]:
    """Mask of the middle of the cheeks."""
    return spot(mirror(anchors), (0.175, -0.085, 0.33), 0.085)


def paint_skin(
    anchors: Float32[Array, "V 3"], appearance: Appearance = DEFAULT_APPEARANCE
) -> Float32[Array, "V 3"]:
    """Colours of the skin with lips, brows and lashes, then mouth, hair and shirt over it."""
    folded = mirror(anchors)
    palette = appearance.palette
    red = (
        0.32 * cheek_mask(anchors)
        + 0.35 * spot(folded, (0.0, -0.10, 0.46), 0.05)
        + 0.45 * ear_mask(anchors)
    )
    red += 0.12 * spot(folded, (0.0, -0.36, 0.39), 0.06)
    colour = blend(np.full_like(anchors, palette.skin), palette.blush, red)
    colour = blend(colour, palette.lid, 0.15 * spot(folded, (0.115, -0.005, 0.36), 0.045))
    colour *= 1.0 + 0.025 * fractal_noise(anchors * 45.0, 2, seed=11)[:, None]
    colour = blend(colour, palette.stubble, palette.beard * beard_mask(anchors))
    colour = blend(colour, palette.lips, lip_mask(folded))
    colour = blend(colour, palette.brow, brow_mask(folded, palette.brow_width))
    colour = blend(colour, palette.lash, lash_mask(folded))
    colour = blend(colour, MOUTH, mouth_mask(anchors))
    fine = 0.55 * hair_strands(anchors, appearance.haircut) + 0.45 * hair_strands(
        anchors, appearance.haircut, fineness=2.3
    )
    hair = blend(
        np.full_like(anchors, palette.hair_dark), palette.hair_light, smoothstep(-0.8, 0.9, fine)
    )
    colour = blend(colour, hair, hair_mask(anchors, appearance.haircut))
    collar = above_collar(anchors)
    shirt = blend(
        np.full_like(anchors, palette.shirt),
        palette.seam,
        smoothstep(0.008, 0.004, np.abs(collar + 0.042)),
    )
    return blend(colour, shirt, smoothstep(0.005, -0.005, collar))


def lip_mask(folded: Float32[Array, "V 3"]) -> Float32[Array, " V"]:
    """Mask of the vermilion of the lips, fading towards its border."""
    x, y, z = folded.T
    upper = np.interp(x, UPPER_LIP[:, 0], UPPER_LIP[:, 1])
    lower = np.interp(x, LOWER_LIP[:, 0], LOWER_LIP[:, 1])
    within = np.minimum(upper - y, y - lower).astype(np.float32)
    return (
        smoothstep(-0.003, 0.006, within) * smoothstep(0.30, 0.33, z) * smoothstep(0.112, 0.100, x)
    )


def beard_mask(anchors: Float32[Array, "V 3"]) -> Float32[Array, " V"]:
    """Mask of the beard: jaw, chin and upper lip, up to the sideburns."""
    x, y, z = mirror(anchors).T
    upper_edge = np.interp(
        x, (0.0, 0.03, 0.11, 0.16, 0.26, 0.32), (-0.150, -0.142, -0.165, -0.25, -0.12, 0.0)
    )
    lower_edge = np.interp(z, (0.0, 0.15, 0.38), (-0.20, -0.36, -0.44))
    ragged = 0.006 * fractal_noise(anchors * 60.0, 2, seed=21)
    above = smoothstep(0.012, -0.012, (y - upper_edge + ragged).astype(np.float32))
    below = smoothstep(-0.02, 0.02, (y - lower_edge + ragged).astype(np.float32))
    return above * below * smoothstep(0.04, 0.11, z) * (1.0 - ear_mask(anchors))


def brow_mask(folded: Float32[Array, "V 3"], breadth: float = 0.016) -> Float32[Array, " V"]:
    """Mask of the eyebrows: hairs along a line that thins outwards."""
    x, y, z = folded.T
    offset = y - np.interp(x, BROW_LINE[:, 0], BROW_LINE[:, 1])
    width = breadth * smoothstep(0.225, 0.09, x) * smoothstep(0.015, 0.05, x) + 1e-4
    hairs = value_noise(np.stack([(x - 0.8 * offset) * 160.0, offset * 60.0], axis=1), seed=13)
    body = smoothstep(1.15, 0.35, np.abs(offset / width) + 0.25 * hairs)
    return np.asarray(
        body
        * smoothstep(0.225, 0.205, x)
        * smoothstep(0.022, 0.038, x)
        * smoothstep(0.20, 0.25, z)
        * (0.82 + 0.15 * hairs),
        dtype=np.float32,
    )


def lash_mask(folded: Float32[Array, "V 3"]) -> Float32[Array, " V"]:
    """Mask of the dark rim of the lids, stronger above the eye."""
    from_eye = folded - EYE_CENTRE
    rim = smoothstep(0.0735, 0.0680, np.linalg.norm(from_eye, axis=1))
    above = smoothstep(-0.012, 0.012, from_eye[:, 1])
    return rim * (0.22 + 0.73 * above) * smoothstep(0.0, 0.02, from_eye[:, 2])


def mouth_mask(anchors: Float32[Array, "V 3"]) -> Float32[Array, " V"]:
    """Mask of the inside of the mouth, behind the lips."""
    x, y, z = mirror(anchors).T
    wall = (
        np.interp(y, MOUTH_WALL[:, 0], MOUTH_WALL[:, 1]) - 1.6 * np.maximum(x - 0.02, 0.0) ** 1.35
    )
    box = (x < np.where(y < -0.28, 0.09, 0.16)) & (y > -0.345) & (y < -0.10) & (z > 0.02)
    return np.where(box, smoothstep(0.003, -0.012, (z - wall).astype(np.float32)), 0.0).astype(
        np.float32
    )


def paint_eye(
    anchors: Float32[Array, "V 3"], appearance: Appearance = DEFAULT_APPEARANCE
) -> Float32[Array, "V 3"]:
    """Colours of an eyeball: sclera, iris with limbal ring and fibres, pupil and catch light."""
    outward = mirror(anchors) - EYE_CENTRE
    palette = appearance.palette
    direction = outward / np.linalg.norm(outward, axis=1, keepdims=True)
    angle = np.degrees(np.arccos(np.clip(direction[:, 2], -1.0, 1.0))).astype(np.float32)
    turn = np.arctan2(direction[:, 1], direction[:, 0])
    fibres = value_noise(np.stack([turn * 8.0, angle / 12.0], axis=1), seed=14)
    colour = blend(np.full_like(anchors, SCLERA), VEINS, 0.7 * smoothstep(38.0, 62.0, angle))
    iris = blend(
        np.full_like(anchors, palette.iris), palette.iris_core, 0.6 * smoothstep(17.0, 11.0, angle)
    )
    iris = blend(
        iris * (1.0 + 0.22 * fibres[:, None]), palette.iris_rim, smoothstep(19.0, 24.0, angle)
    )
    colour = blend(colour, iris, smoothstep(26.0, 24.0, angle))
    colour = blend(colour, (0.02, 0.02, 0.02), smoothstep(11.5, 10.0, angle))
    side = np.sign(anchors[:, :1].mean())
    glint = np.linalg.norm(anchors - EYE_CENTRE * (side, 1, 1) - CATCH_LIGHT, axis=1)
    return blend(colour, (1.5, 1.5, 1.5), smoothstep(0.0065, 0.004, glint.astype(np.float32)))


def paint_teeth(
    anchors: Float32[Array, "V 3"], appearance: Appearance = DEFAULT_APPEARANCE
) -> Float32[Array, "V 3"]:
    """Colours of a row of teeth: ivory with soft gaps, and gums towards the jaw."""
    x, y, z = anchors.T
    upper = y.max() > -0.18
    along = np.arctan2(x, z - 0.19) / 0.215
    gap = np.exp(-(((along - np.round(along)) / 0.10) ** 2)).astype(np.float32)
    gum = smoothstep(-0.192, -0.182, y) if upper else smoothstep(-0.236, -0.246, y)
    ivory = blend(np.full_like(anchors, TEETH), (0.62, 0.50, 0.42), 0.55 * gap)
    return blend(ivory, GUMS, gum)


def paint_tongue(
    anchors: Float32[Array, "V 3"], appearance: Appearance = DEFAULT_APPEARANCE
) -> Float32[Array, "V 3"]:
    """Colours of the tongue: rough pink with a furrow down the middle."""
    furrow = np.exp(-((anchors[:, 0] / 0.012) ** 2)).astype(np.float32)
    colour = blend(np.full_like(anchors, TONGUE), MOUTH, 0.3 * furrow)
    return np.asarray(
        colour * (1.0 + 0.05 * value_noise(anchors * 90.0, seed=15)[:, None]), dtype=np.float32
    )


PAINTERS = {
    "skin": paint_skin,
    "eye": paint_eye,
    "upper teeth": paint_teeth,
    "lower teeth": paint_teeth,
    "tongue": paint_tongue,
}
"""The function that colours each part, by the names of `part_of`."""


def importance(anchors: Float32[Array, "V 3"]) -> Float32[Array, " V"]:
    """Sampling density relative to the back of the head: eyes, then mouth, then face and ears."""
    folded = mirror(anchors)
    face = smoothstep(0.05, 0.25, anchors[:, 2]) * smoothstep(-0.5, -0.38, anchors[:, 1])
    return np.asarray(
        1.0
        + 3.0 * face
        + 24.0 * spot(folded, (0.116, 0.045, 0.35), 0.06)
        + 9.0 * spot(folded, (0.0, -0.22, 0.40), 0.09)
        + 3.0 * ear_mask(anchors)
        - 0.5 * smoothstep(-0.55, -0.7, anchors[:, 1]),
        dtype=np.float32,
    )
