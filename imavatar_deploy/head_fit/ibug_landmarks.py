"""iBUG landmarks: the 68 points of the iBUG scheme and the two irises, as vertices of OpenHead."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Int64, read_only
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import HeadModel

IBUG_LANDMARKS = 68
"""Landmarks of the iBUG scheme; the irises follow them."""

Place = tuple[float, float, float]
"""A point near the template's surface, model units; +x is the subject's left."""

CONTOUR: tuple[Place, ...] = (
    (0.277, 0.04, 0.09), (0.268, -0.05, 0.10), (0.258, -0.13, 0.11), (0.243, -0.20, 0.13),
    (0.212, -0.28, 0.19), (0.172, -0.335, 0.25), (0.118, -0.375, 0.31), (0.060, -0.392, 0.35),
    (0.0, -0.395, 0.37),
)  # fmt: skip
"""In front of the ear, along the jaw, to the chin."""
BROW: tuple[Place, ...] = (
    (0.215, 0.098, 0.28), (0.175, 0.120, 0.32), (0.130, 0.129, 0.355), (0.085, 0.125, 0.375),
    (0.042, 0.118, 0.39),
)  # fmt: skip
"""From the temple to the middle."""
NOSE: tuple[Place, ...] = (
    (0.0, 0.045, 0.40),
    (0.0, 0.0, 0.42),
    (0.0, -0.05, 0.45),
    (0.0, -0.10, 0.475),
)
"""The bridge, from the top to the tip."""
NOSTRILS: tuple[Place, ...] = ((0.055, -0.130, 0.39), (0.028, -0.138, 0.42), (0.0, -0.142, 0.435))
"""From the wing of the nose to the middle."""
EYE: tuple[Place, ...] = (
    (0.172, 0.030, 0.300), (0.140, 0.057, 0.340), (0.095, 0.055, 0.350), (0.063, 0.032, 0.340),
    (0.095, 0.022, 0.350), (0.140, 0.022, 0.340),
)  # fmt: skip
"""Outer corner, upper lid, inner corner, lower lid."""
OUTER_LIPS: tuple[Place, ...] = (
    (0.090, -0.230, 0.355), (0.055, -0.192, 0.405), (0.020, -0.180, 0.428), (0.0, -0.184, 0.433),
    (0.0, -0.272, 0.412), (0.030, -0.270, 0.405), (0.062, -0.256, 0.390),
)  # fmt: skip
"""Corner, upper edge to its middle; middle of the lower edge, and back to the corner."""
INNER_LIPS: tuple[Place, ...] = (
    (0.078, -0.228, 0.365), (0.040, -0.221, 0.410), (0.0, -0.222, 0.425), (0.0, -0.230, 0.422),
    (0.040, -0.230, 0.405),
)  # fmt: skip
"""Corner, underside of the upper lip and its middle; middle and side of the lower lip."""
IRIS: Place = (0.1157, 0.0423, 0.36)


@lru_cache(maxsize=1)
def _places() -> Float32[Array, "70 3"]:
    """Landmarks on OpenHead's template, model units, in the scheme's order: right (-x) first."""
    right = [_mirror(place) for place in CONTOUR[:-1]]
    contour = [*right, CONTOUR[-1], *reversed(CONTOUR[:-1])]
    brows = [*map(_mirror, BROW), *reversed(BROW)]
    nose = [*NOSE, *map(_mirror, NOSTRILS), *reversed(NOSTRILS[:-1])]
    eyes = [*map(_mirror, EYE), *(EYE[index] for index in (3, 2, 1, 0, 5, 4))]
    places = [*contour, *brows, *nose, *eyes, *_outer_lips(), *_inner_lips(), _mirror(IRIS), IRIS]
    return read_only(np.asarray(places, dtype=np.float32))


def _mirror(place: Place) -> Place:
    return (-place[0], place[1], place[2])


def _outer_lips() -> list[Place]:
    corner, side, peak, dip, low, low_side, low_corner = OUTER_LIPS
    upper = [*map(_mirror, (corner, side, peak)), dip, peak, side, corner]
    return [*upper, low_corner, low_side, low, _mirror(low_side), _mirror(low_corner)]


def _inner_lips() -> list[Place]:
    corner, upper, middle, low, low_side = INNER_LIPS
    return [
        *map(_mirror, (corner, upper)),
        middle,
        upper,
        corner,
        low_side,
        low,
        _mirror(low_side),
    ]


def landmark_vertices(head: HeadModel) -> Int64[Array, "70"]:
    """Vertex indices of the landmarks of a head, the subject's right side first.

    The order is 17 contour, 10 brows, 9 nose, 12 eyes, 20 mouth, 2 irises.

    Args:
        head: OpenHead, with or without a subject's shape; the indices are the same for all.

    Raises:
        InputError: the head is not an OpenHead; the landmarks of others come with their files.
    """
    if head.edition != "openhead":
        raise InputError(
            f"landmarks are known for OpenHead, got a head of edition {head.edition!r}: use the "
            "vertices that come with that model"
        )
    return _nearest_vertices().copy()


@lru_cache(maxsize=1)
def _nearest_vertices() -> Int64[Array, "70"]:
    """The vertices nearest to `_places`: irises on the eyeballs, all others on the skin."""
    template = HeadModel.load("openhead")
    points = UNITS_PER_METRE * template.template
    groups = np.array(template.vertex_groups)
    vertices = []
    for index, place in enumerate(_places()):
        allowed = groups == "body" if index < IBUG_LANDMARKS else np.char.endswith(groups, "-eye")
        excluded = np.where(allowed, 0.0, np.inf)
        vertices.append(int(np.argmin(np.linalg.norm(points - place, axis=1) + excluded)))
    return read_only(np.asarray(vertices, dtype=np.int64))
