"""Shading of the inside of the mouth: darker with depth, as `apply_light` casts no shadows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imavatar_deploy.arrays import Array, Float32

from ..warm_start.head_surface import HeadSurface
from .hair_and_clothes import mirror, part_of
from .noise import smoothstep
from .skin_and_hair_colours import MOUTH, mouth_mask

BACK_FACTOR = 0.40
"""Factor on the colours at the back of the mouth."""
FRONT_TEETH_DISTANCE = 0.355
"""Distance of the front teeth from the axis of the head, on OpenHead's template."""
DARK_DEPTH = 0.20
"""Distance behind the front teeth from which the colours are darkest."""
PARTS = ("upper teeth", "lower teeth", "tongue")


def inside_mouth(anchors: Float32[Array, "V 3"]) -> Float32[Array, " V"]:
    """Mask of the skin within the mouth, 1 inside, down to the end of the throat."""
    x, y, z = mirror(anchors).T
    throat = (x < 0.12) & (y > -0.31) & (y < -0.10) & (z > -0.15) & (z < 0.25)
    return np.asarray(np.maximum(mouth_mask(anchors), throat), dtype=np.float32)


def with_shaded_mouth(subject: HeadSurface, anchors: Float32[Array, "V 3"]) -> HeadSurface:
    """Darken teeth, tongue and the insides of the cheeks by their depth in the mouth."""
    reach = smoothstep(
        FRONT_TEETH_DISTANCE - DARK_DEPTH,
        FRONT_TEETH_DISTANCE,
        np.hypot(anchors[:, 2], 0.6 * anchors[:, 0]).astype(np.float32),
    )
    shade = (BACK_FACTOR + (1.0 - BACK_FACTOR) * reach)[:, None]
    colour = subject.colour.copy()
    for part in np.unique(subject.parts):
        own = subject.parts == part
        name = part_of(anchors[own])
        if name in PARTS:
            colour[own] *= shade[own]
        elif name == "skin":
            colour[own] = _shaded_skin(colour[own], anchors[own], shade[own])
    return replace(subject, colour=colour)


def _shaded_skin(
    colour: Float32[Array, "V 3"], anchors: Float32[Array, "V 3"], shade: Float32[Array, "V 1"]
) -> Float32[Array, "V 3"]:
    """Colour the throat, which `mouth_mask` leaves out, and darken all skin within the mouth."""
    within = inside_mouth(anchors)[:, None]
    has_colour = np.minimum(within, mouth_mask(anchors)[:, None])
    throat = np.asarray(MOUTH, dtype=np.float32) * (within - has_colour)
    unshaded = colour * (1.0 - within + has_colour) + throat
    return np.asarray(unshaded * (1.0 - within + within * shade), dtype=np.float32)
