"""Eyeballs that turn about the avatar's eye joints, and the inner sides of the lids."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Float32, Int64
from imavatar_deploy.conventions import BONES, CONDITION_SIZE
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.mesh import Mesh

from .colours import eye_colours
from .mouth import RimMotion, ring_faces
from .opening import front_points
from .part_mesh import PartMesh, part_number, uncoloured, unposed

RADIUS = 0.0575
"""Radius of an eyeball, model units (14.4 mm).

OpenHead's have 0.0605, which touches the lids; those of the networks are less exact.
"""

RING_ANGLES = (4, 8, 10, 11.5, 14, 18, 22, 24.5, 27, 33, 42, 54, 68, 84, 104)
"""Angles of the rings of vertices from the middle of the pupil, degrees.

They are close where pupil and iris end. Behind the last ring nothing shows.
"""

SECTORS = 24
"""Vertices in a ring."""

LID_RINGS = np.array(
    [
        # depth, share of the skin's colour
        (0.004, 0.80),
        (0.009, 0.30),
        (0.016, 0.00),
    ]
)
"""Rings behind the rim of the lids, towards the middle of the eyeball, model units."""

LID_COLOUR = (0.35, 0.20, 0.17)
"""Colour of the inner side of a lid in its own shadow."""


def eyeball(
    name: str,
    joint: Float32[Array, "3"],
    joint_basis: Float32[Array, "E 3"],
    bones: int,
    colours: EyeColours,
) -> PartMesh:
    """An eyeball around a joint, which turns it; it moves with the joint.

    Args:
        name: `left eye` or `right eye`.
        joint: position of the joint of the neutral expression, model units.
        joint_basis: its displacement per unit of expression.
        bones: J, with the ghost bone or without.
        colours: of iris and sclera.
    """
    angle = np.radians(RING_ANGLES)[:, None]
    turn = np.linspace(0.0, 2.0 * np.pi, SECTORS, endpoint=False)[None]
    rings = np.stack(
        [np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), np.cos(angle) + 0.0 * turn],
        axis=-1,
    ).reshape(-1, 3)
    direction = np.concatenate([[[0.0, 0.0, 1.0]], rings]).astype(np.float32)
    count = len(direction)
    weights = np.zeros((count, bones), dtype=np.float32)
    bone = "eyeL" if name == "left eye" else "eyeR"
    weights[:, bones - len(BONES) + BONES.index(bone)] = 1.0
    mesh = uncoloured(
        joint + np.float32(RADIUS) * direction,
        np.repeat(np.asarray(joint_basis.T, np.float32)[None], count, axis=0),
        np.zeros((count, 36, 3), dtype=np.float32),
        weights,
        _ball_faces(),
    )
    return replace(
        mesh,
        part=np.full(count, part_number(name), np.int32),
        colour=eye_colours(direction, *colours),
    )


def _ball_faces() -> Int64[Array, "F 3"]:
    """Faces of the pole and the rings, counter-clockwise from outside."""
    here = np.arange(SECTORS)
    following = np.roll(here, -1)
    faces = [np.stack([np.zeros(SECTORS, np.int64), 1 + here, 1 + following], axis=1)]
    for ring in range(len(RING_ANGLES) - 1):
        inner, outer = 1 + ring * SECTORS, 1 + (ring + 1) * SECTORS
        faces.append(np.stack([inner + here, outer + here, outer + following], axis=1))
        faces.append(np.stack([inner + here, outer + following, inner + following], axis=1))
    return np.concatenate(faces).astype(np.int64)


def lid_insides(
    name: str, rim: RimMotion, centre: Float32[Array, "3"], joints: Float32[Array, "5 3"]
) -> PartMesh:
    """The inner sides of the lids, from the rim towards the middle of the eyeball."""
    inwards = centre - rim.canonical
    inwards /= np.linalg.norm(inwards, axis=1, keepdims=True)
    points = np.concatenate([rim.canonical + np.float32(d) * inwards for d, _ in LID_RINGS])
    count, rings = len(rim.vertices), len(LID_RINGS)
    source = np.tile(np.arange(count), rings)
    weights, pose = rim.weights[source], rim.pose[source]
    mesh = uncoloured(
        unposed(points, weights, pose, joints),
        rim.expression[source],
        pose,
        weights,
        ring_faces(rim.vertices, rings),
    )
    return replace(
        mesh,
        part=np.full(len(points), part_number(name), np.int32),
        colour=np.tile(np.asarray(LID_COLOUR, dtype=np.float32), (len(points), 1)),
        skin=rim.vertices[source],
        skin_share=np.repeat(LID_RINGS[:, 1], count).astype(np.float32),
    )


IRIS_ANGLES = (13.0, 15.0)
SCLERA_ANGLES = (34.0, 38.0)
"""Angles from the middle of the pupil at which iris and sclera are read, degrees."""


class EyeColours(NamedTuple):
    """Colours of the eyes of a subject, sRGB in 0..1."""

    iris: Float32[Array, "3"]
    sclera: Float32[Array, "3"]


def read_eye_colours(mesh: Mesh, avatar: ImplicitAvatar) -> EyeColours:
    """The colours that the networks give to the eyes, beside the pupils.

    The networks blur the edge between iris and sclera, so that the iris is the darker quarter of
    the places and the sclera the brighter one.

    Args:
        mesh: the canonical surface, with eyeballs.
        avatar: the networks.
    """
    return EyeColours(
        _colour_around(IRIS_ANGLES, 0.25, mesh, avatar),
        _colour_around(SCLERA_ANGLES, 0.75, mesh, avatar),
    )


def _colour_around(
    angles: tuple[float, ...], quantile: float, mesh: Mesh, avatar: ImplicitAvatar
) -> Float32[Array, "3"]:
    """Quantile of the colours at some angles left and right of both pupils."""
    turn = np.linspace(0.0, 2.0 * np.pi, SECTORS, endpoint=False)
    sideways = np.abs(np.cos(turn)) > 0.8  # lids cover the eye above and below
    radius = RADIUS * np.sin(np.radians(angles))[:, None]
    x, y = (radius * function(turn[sideways]) for function in (np.cos, np.sin))
    colours = []
    for bone in ("eyeL", "eyeR"):
        joint = avatar.joints_rest[BONES.index(bone)].astype(np.float64)
        points = front_points(mesh, joint[0] + x.ravel(), joint[1] + y.ravel())
        colours.append(_neutral_colours(avatar, torch.from_numpy(points)))
    return np.asarray(np.quantile(np.concatenate(colours), quantile, axis=0), dtype=np.float32)


def _neutral_colours(avatar: ImplicitAvatar, points: Tensor) -> Float32[Array, "N 3"]:
    """Colours of canonical points that face the front, in the neutral condition."""
    points = points.to(avatar.canonical_pose)
    normals = torch.tensor([0.0, 0.0, 1.0]).to(points).expand(len(points), 3)
    with torch.inference_mode():
        feature = avatar.geometry(points).feature
        condition = torch.zeros(CONDITION_SIZE).to(points)
        colours = avatar.texture(points, normals, condition, feature)
    return np.asarray(colours.cpu().numpy(), dtype=np.float32)
