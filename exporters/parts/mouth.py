"""The mouth: inner sides of the lips and a dark cavity, grown from the rim; teeth and tongue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64, Int64
from imavatar_deploy.conventions import BONES
from imavatar_deploy.head_model import HeadModel

from .colours import (
    mouth_materials,
    shade_of_depth,
    teeth_materials,
    tongue_materials,
    usual_palette,
)
from .part_mesh import PartMesh, of_head_model, part_number, uncoloured, unposed

LIP_RINGS = np.array(
    [
        # depth, rise, share of the skin's colour
        (0.004, 0.000, 0.95),
        (0.010, 0.003, 0.75),
        (0.017, 0.010, 0.40),
        (0.023, 0.022, 0.12),
        (0.026, 0.036, 0.00),
    ]
)
"""Rings behind the rim: they turn from the front to the inner side of a lip, model units.

A lip of the head model is as thick. In the corners, where upper and lower lip meet, rise and depth
are `CORNER_RISE` and `CORNER_DEPTH` of that.
"""

CORNER_RISE = -0.1
CORNER_DEPTH = 0.3

BAG_RINGS = np.array(
    [
        # depth, half width, half height, share of the rim's motion
        (0.080, 0.085, 0.075, 0.7),
        (0.170, 0.105, 0.090, 0.2),
        (0.260, 0.075, 0.065, 0.0),
    ]
)
"""Ellipses through which the cavity passes behind the lips, model units."""

BAG_END = 0.300
"""Depth of the end of the cavity behind the lips, model units."""

BAG_DROP = 0.010
"""Height of the lips' middle above the middle of the cavity."""

UPPER_TEETH_SHIFT = (0.0, -0.034, -0.008)
LOWER_TEETH_SHIFT = (0.0, -0.004, -0.006)
TONGUE_SHIFT = (0.0, -0.044, -0.026)
"""Displacements of OpenHead's teeth and tongue, model units.

Its upper teeth end at the lip's edge, where none of them shows, and its tongue covers the lower
ones.
"""


@dataclass(frozen=True)
class RimMotion:
    """What is known of the R vertices of a rim, in order."""

    vertices: Int64[Array, " R"]
    """Their numbers in the skin."""
    canonical: Float32[Array, "R 3"]
    expression: Float32[Array, "R 3 E"]
    pose: Float32[Array, "R 36 3"]
    weights: Float32[Array, "R J"]

    def across(self) -> Float64[Array, "R 2"]:
        """Return the unit normals of the rim in the front view, which point away from it."""
        points = self.canonical[:, :2].astype(np.float64)
        ahead = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
        normal = np.stack([ahead[:, 1], -ahead[:, 0]], axis=1)
        for _ in range(2):
            normal += 0.5 * (np.roll(normal, 1, axis=0) + np.roll(normal, -1, axis=0))
        area = (points[:, 0] * np.roll(points[:, 1], -1)).sum()
        area -= (points[:, 1] * np.roll(points[:, 0], -1)).sum()
        length = np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        return np.asarray(np.sign(area) * normal / length, dtype=np.float64)


def cavity(rim: RimMotion, joints: Float32[Array, "5 3"]) -> PartMesh:
    """The inner sides of the lips and the inside of the mouth, which continue the skin."""
    count = len(rim.vertices)
    across = rim.across()
    centre = (rim.canonical.max(axis=0) + rim.canonical.min(axis=0)) / 2.0
    half = (rim.canonical.max(axis=0) - rim.canonical.min(axis=0))[:2] / 2.0
    openness = 1.0 - ((rim.canonical[:, 0] - centre[0]) / half[0]) ** 2
    openness = openness.clip(0.0, 1.0)
    rise = CORNER_RISE + (1.0 - CORNER_RISE) * openness
    thickness = CORNER_DEPTH + (1.0 - CORNER_DEPTH) * np.sqrt(openness)
    points, motion, colour_share = [], [], []
    for depth, height, share in LIP_RINGS:
        points.append(_moved(rim.canonical, across * (height * rise)[:, None], depth * thickness))
        motion.append(np.ones(count))
        colour_share.append(np.full(count, share))
    offset = (rim.canonical[:, :2] - centre[:2]) / half
    direction = offset / np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-9)
    front = float(rim.canonical[:, 2].max())
    for depth, width, height, share in BAG_RINGS:
        flat = centre[:2] - [0.0, BAG_DROP] + direction * [width, height]
        z = np.full(count, front - depth)
        points.append(np.concatenate([flat, z[:, None]], axis=1).astype(np.float32))
        motion.append(np.full(count, share))
        colour_share.append(np.zeros(count))
    points.append(np.array([[centre[0], centre[1] - BAG_DROP, front - BAG_END]], np.float32))
    motion.append(np.zeros(1))
    colour_share.append(np.zeros(1))
    rings = len(LIP_RINGS) + len(BAG_RINGS)
    source = np.concatenate([np.tile(np.arange(count), rings), [0]])
    share = np.concatenate(motion).astype(np.float32)
    lower = np.concatenate([np.tile(0.5 - 0.5 * direction[:, 1], rings), [0.5]])
    mesh = _grown(rim, np.concatenate(points), source, share, lower, joints)
    depth = front - np.concatenate(points)[:, 2]
    mesh = replace(
        mesh,
        faces=ring_faces(rim.vertices, rings, closed=True),
        part=np.full(len(share), part_number("mouth"), np.int32),
        material=mouth_materials(len(share)),
        shade=shade_of_depth(depth),
        skin=rim.vertices[source],
        skin_share=np.concatenate(colour_share).astype(np.float32),
    )
    return mesh.painted(usual_palette())


def _moved(
    points: Float32[Array, "R 3"], across: Float64[Array, "R 2"], depth: Float64[Array, " R"]
) -> Float32[Array, "R 3"]:
    moved = points.copy()
    moved[:, :2] += across.astype(np.float32)
    moved[:, 2] -= depth.astype(np.float32)
    return moved


def _grown(
    rim: RimMotion,
    canonical: Float32[Array, "P 3"],
    source: Int64[Array, " P"],
    share: Float32[Array, " P"],
    lower: Float64[Array, " P"],
    joints: Float32[Array, "5 3"],
) -> PartMesh:
    """Vertices that move with a vertex of the rim to some share, else with head or jaw."""
    still = np.zeros((len(canonical), rim.weights.shape[1]), dtype=np.float32)
    first = rim.weights.shape[1] - len(BONES)
    still[:, first + BONES.index("jaw")] = lower
    still[:, first + BONES.index("neck")] = 1.0 - lower
    weights = share[:, None] * rim.weights[source] + (1.0 - share[:, None]) * still
    expression = share[:, None, None] * rim.expression[source]
    pose = share[:, None, None] * rim.pose[source]
    rest = unposed(canonical, weights, pose, joints)
    return uncoloured(rest, expression, pose, weights, np.zeros((0, 3), np.int64))


def ring_faces(rim: Int64[Array, " R"], rings: int, *, closed: bool = False) -> Int64[Array, "F 3"]:
    """Faces between a rim of the skin and the rings behind it; also to one last vertex if `closed`.

    The vertices of a ring follow those of the ring before.
    """
    count = len(rim)
    following = np.roll(np.arange(count), -1)
    rows = [-1 - rim, *(np.arange(count) + ring * count for ring in range(rings))]
    faces = []
    for front, back in pairwise(rows):
        faces.append(np.stack([front[following], front, back], axis=1))
        faces.append(np.stack([front[following], back, back[following]], axis=1))
    if closed:
        last = np.full(count, rings * count)
        faces.append(np.stack([rows[-1][following], rows[-1], last], axis=1))
    return np.concatenate(faces).astype(np.int64)


def teeth_and_tongue(head: HeadModel, bones: int, front: float) -> list[PartMesh]:
    """Upper teeth, lower teeth and tongue of a head model.

    Args:
        head: the subject's head model.
        bones: J, with the ghost bone or without.
        front: z of the lips in canonical space, from which depth counts.
    """
    parts = []
    rows = (
        ("upper teeth", "helper-upper-teeth", UPPER_TEETH_SHIFT, 2),
        ("lower teeth", "helper-lower-teeth", LOWER_TEETH_SHIFT, 1),
        ("tongue", "helper-tongue", TONGUE_SHIFT, 0),
    )
    for name, group, shift, subdivisions in rows:
        mesh, template = of_head_model(head, [group], bones, subdivisions)
        materials = tongue_materials if name == "tongue" else teeth_materials
        if name != "tongue":
            mesh = _rigid(mesh, "neck" if name == "upper teeth" else "jaw")
        mesh = replace(
            mesh,
            rest=mesh.rest + np.asarray(shift, dtype=np.float32),
            part=np.full(len(template), part_number(name), np.int32),
            material=materials(template),
            shade=shade_of_depth(front - template[:, 2]),
        )
        parts.append(mesh.painted(usual_palette()))
    return parts


def _rigid(mesh: PartMesh, bone: str) -> PartMesh:
    """A mesh that follows one bone and nothing else."""
    weights = np.zeros_like(mesh.weights)
    weights[:, weights.shape[1] - len(BONES) + BONES.index(bone)] = 1.0
    return replace(
        mesh,
        weights=weights,
        expression=np.zeros_like(mesh.expression),
        pose=np.zeros_like(mesh.pose),
    )
