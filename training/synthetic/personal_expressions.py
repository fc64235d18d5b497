"""Individual variation beyond shape: an asymmetric face, and personal strength of expressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from imavatar_deploy.arrays import Array, Float32

from ..warm_start.head_surface import HeadSurface
from .hair_and_clothes import EYE_CENTRE, mirror
from .noise import smoothstep, value_noise

UNEVENNESS = 0.016
"""Largest displacement of the face, model units (4 mm)."""
CELL = 0.34
"""Size of the bumps, model units: wider than a nose, narrower than a face."""
STRENGTHS = (0.75, 1.3)
"""Range of the factors on the strength of an expression."""
SIDE_DIFFERENCE = 0.10
"""Largest difference of a side of the face from the strength of the expression."""
MAX_ROTATION = 0.14
"""Largest rotation of an expression's displacements about the viewing axis, radians."""
EXACT_PREFIXES = ("eyeBlink", "eyeLook", "mouthClose", "jaw")
"""Prefixes of expressions without variation: surfaces must meet, lids on eyes and lips on lips."""


def with_asymmetry(subject: HeadSurface, anchors: Float32[Array, "V 3"], seed: int) -> HeadSurface:
    """Displace the face smoothly in a way that shape coefficients do not describe.

    The eyes and the bust below the collar stay in place.
    """
    field = np.stack(
        [value_noise(anchors / CELL + 10.0 * axis, seed=seed + axis) for axis in range(3)], axis=1
    )
    from_eye = np.linalg.norm(mirror(anchors) - EYE_CENTRE, axis=1)
    free = (
        smoothstep(0.08, 0.20, from_eye)[:, None] * smoothstep(-0.60, -0.45, anchors[:, 1])[:, None]
    )
    return replace(subject, rest=(subject.rest + UNEVENNESS * free * field).astype(np.float32))


def with_personal_expressions(
    subject: HeadSurface, seed: int, expression_factors: Mapping[str, float]
) -> HeadSurface:
    """Give every expression a random strength and direction.

    Args:
        expression_factors: further factors on the strength, by the name of the expression.
    """
    rng = np.random.default_rng(seed)
    expression = subject.expression.copy()
    variations = {
        name: (rng.uniform(*STRENGTHS), rng.uniform(-MAX_ROTATION, MAX_ROTATION))
        for name in _stems(subject)
    }
    uneven_sides = rng.uniform(-SIDE_DIFFERENCE, SIDE_DIFFERENCE)
    for column, name in enumerate(subject.head.expression_names):
        if name.startswith(EXACT_PREFIXES):
            continue
        strength, turn = variations[_stem(name)]
        side = uneven_sides * {"L": 1.0, "R": -1.0, "": 0.0}[_side(name)]
        factor = (strength + side) * expression_factors.get(name, 1.0)
        expression[:, :, column] = factor * expression[:, :, column] @ _about_z(turn).T
    return replace(subject, expression=expression.astype(np.float32))


def _stems(subject: HeadSurface) -> list[str]:
    return sorted({_stem(name) for name in subject.head.expression_names})


def _stem(name: str) -> str:
    return name.removesuffix("Left").removesuffix("Right")


def _side(name: str) -> str:
    return "L" if name.endswith("Left") else "R" if name.endswith("Right") else ""


def _about_z(angle: float) -> Float32[Array, "3 3"]:
    cos = np.cos(angle)
    sin = np.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]], dtype=np.float32)
