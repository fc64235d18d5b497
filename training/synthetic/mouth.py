"""The inside of the mouth: darker the further in, because `lighting.lit` casts no shadows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..warm_start.head_surface import HeadSurface
from .hair_and_clothes import mirrored, part_of
from .noise import smoothstep
from .skin_and_hair_colours import MOUTH, mouth_mask

Float = NDArray[np.float32]

DARKEST = 0.40
FRONT, DEPTH = 0.355, 0.20
"""Where the front teeth stand, and how much further in the light is gone; on OpenHead's template."""
PARTS = ("upper teeth", "lower teeth", "tongue")


def inside_mouth(anchors: Float) -> Float:
    """[V] 1 on skin within the mouth, down to the throat's end, which no light reaches."""
    x, y, z = mirrored(anchors).T
    throat = (x < 0.12) & (y > -0.31) & (y < -0.10) & (z > -0.15) & (z < 0.25)
    return np.asarray(np.maximum(mouth_mask(anchors), throat), dtype=np.float32)


def dimmed(subject: HeadSurface, anchors: Float) -> HeadSurface:
    """The painted subject with teeth, tongue and cheeks' insides dimmed by their depth in the mouth."""
    reach = smoothstep(
        FRONT - DEPTH, FRONT, np.hypot(anchors[:, 2], 0.6 * anchors[:, 0]).astype(np.float32)
    )
    shade = (DARKEST + (1.0 - DARKEST) * reach)[:, None]
    colour = subject.colour.copy()
    for part in np.unique(subject.parts):
        own = subject.parts == part
        name = part_of(anchors[own])
        if name in PARTS:
            colour[own] *= shade[own]
        elif name == "skin":
            colour[own] = _dimmed_skin(colour[own], anchors[own], shade[own])
    return replace(subject, colour=colour)


def _dimmed_skin(colour: Float, anchors: Float, shade: Float) -> Float:
    within, marked = inside_mouth(anchors)[:, None], mouth_mask(anchors)[:, None]
    throat = np.asarray(MOUTH, dtype=np.float32) * (within - np.minimum(within, marked))
    painted = colour * (1.0 - within + np.minimum(within, marked)) + throat
    return np.asarray(painted * (1.0 - within + within * shade), dtype=np.float32)
