"""Manner: what is a person's own beyond shape: an uneven face, and expressions of their own strength and direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..warm_start.head_surface import HeadSurface
from .hair_and_clothes import EYE_CENTRE, mirrored
from .noise import smoothstep, value_noise

Float = NDArray[np.float32]

UNEVENNESS = 0.016
"""Largest displacement of the face, model units (4 mm)."""
CELL = 0.34
"""Size of its bumps: wider than a nose, narrower than a face."""
STRENGTHS = (0.75, 1.3)
SIDES = 0.10
"""How much the two sides of the face differ in strength, at most."""
TURN = 0.14
"""Radians by which an expression's direction may be turned about the viewing axis."""
EXACT = ("eyeBlink", "eyeLook", "mouthClose", "jaw")
"""Expressions in which surfaces must meet (lids on eyes, lips on lips): everybody shows these alike."""


def uneven(subject: HeadSurface, anchors: Float, seed: int) -> HeadSurface:
    """The subject with a smooth displacement of its own, unknown to shape coefficients; eyes keep their place."""
    field = np.stack(
        [value_noise(anchors / CELL + 10.0 * axis, seed=seed + axis) for axis in range(3)], axis=1
    )
    from_eye = np.linalg.norm(mirrored(anchors) - EYE_CENTRE, axis=1)
    free = (
        smoothstep(0.08, 0.20, from_eye)[:, None] * smoothstep(-0.60, -0.45, anchors[:, 1])[:, None]
    )
    return replace(subject, rest=(subject.rest + UNEVENNESS * free * field).astype(np.float32))


def mannered(subject: HeadSurface, seed: int, accents: Mapping[str, float]) -> HeadSurface:
    """The subject with its own strength and direction of every expression."""
    rng = np.random.default_rng(seed)
    expression = subject.expression.copy()
    drawn = {name: (rng.uniform(*STRENGTHS), rng.uniform(-TURN, TURN)) for name in _stems(subject)}
    uneven_sides = rng.uniform(-SIDES, SIDES)
    for column, name in enumerate(subject.head.expression_names):
        if name.startswith(EXACT):
            continue
        strength, turn = drawn[_stem(name)]
        side = uneven_sides * {"L": 1.0, "R": -1.0, "": 0.0}[_side(name)]
        factor = (strength + side) * accents.get(name, 1.0)
        expression[:, :, column] = factor * expression[:, :, column] @ _about_z(turn).T
    return replace(subject, expression=expression.astype(np.float32))


def _stems(subject: HeadSurface) -> list[str]:
    return sorted({_stem(name) for name in subject.head.expression_names})


def _stem(name: str) -> str:
    return name.removesuffix("Left").removesuffix("Right")


def _side(name: str) -> str:
    return "L" if name.endswith("Left") else "R" if name.endswith("Right") else ""


def _about_z(angle: float) -> Float:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]], dtype=np.float32)
