"""Open the skin of an export, and build the parts that show in the openings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Int64
from imavatar_deploy.conventions import BONES
from imavatar_deploy.head_fit.ibug_landmarks import landmark_vertices
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.deformation import Deformation
from imavatar_deploy.model.surface.field import Field
from imavatar_deploy.model.surface.mesh import Mesh

from ..mesh_cleanup import canonical_points
from ..settings import ExportSettings
from ..skeleton import NEUTRAL_EXPRESSION, REST_POSE
from . import PART_CHOICES
from .cut import open_along, refine_around
from .eyes import EyeColours, eyeball, lid_insides, read_eye_colours
from .mouth import RimMotion, cavity, teeth_and_tongue
from .opening import Opening, front_points
from .part_mesh import PartMesh, joined


class OpeningRow(NamedTuple):
    """One opening: a row of `OPENINGS`."""

    upper: tuple[int, ...]
    """Landmarks of the upper edge, from one corner to the other with increasing x."""
    lower: tuple[int, ...]
    depth: float
    """Depth behind the corners up to which the surface is opened, model units."""
    limit: float
    """Largest displacement of an edge until the edges meet at rest; 0 where they do not."""
    widening: tuple[float, float]
    """Heights by which the upper edge is moved up and the lower edge down, model units."""
    strip: tuple[float, float]
    """Widths of the strips along the upper and the lower edge whose colours are continued."""


LIDS = (0.05, 0.0, (0.0055, 0.0015), (0.006, 0.005))
"""Common columns of the eyes. Eyes are a little wider open than OpenHead's."""

OPENINGS = {
    "mouth": OpeningRow(
        (60, 61, 62, 63, 64), (60, 67, 66, 65, 64), 0.1, 0.03, (0.0, 0.0), (0.011, 0.018)
    ),
    "left eye": OpeningRow((42, 43, 44, 45), (42, 47, 46, 45), *LIDS),
    "right eye": OpeningRow((36, 37, 38, 39), (36, 41, 40, 39), *LIDS),
}
"""The openings by the name of the part that closes them."""

EYE_BONES = {"left eye": "eyeL", "right eye": "eyeR"}

GROUPS = ("helper-upper-teeth", "helper-lower-teeth", "helper-tongue")
"""Vertex groups of a head model that has a mouth."""

PART_FACES = {"mouth": 4_000, "left eye": 1_200, "right eye": 1_200}
"""Faces that an opening and its parts take, at most."""

RIM_FACES = 700
"""Faces that a finer rim of one opening may take."""

LABELLED_LIMIT = 0.008
"""Largest displacement of an edge that labels show until lips meet, model units (2 mm)."""

MIN_BUDGET = 15_000
"""Smallest face budget of an export with parts; with fewer faces the skin is too coarse."""

MIN_RIM = 24
"""Smallest number of vertices of a rim."""

MAX_DISTANCE = 0.08
"""Largest distance of the surface from lips or lids of the head model, model units (2 cm)."""

NO_OPENING = "the surface is not where the head model has mouth and eyes"


@dataclass(frozen=True)
class OpenedSkin:
    """The skin of an avatar with its openings."""

    mesh: Mesh
    rims: dict[str, Int64[Array, " _"]]
    """Name of an opening -> vertices of its rim, in order."""
    edge: Bool[Array, " V"]
    """Vertices along the openings, whose colours continue those farther away.

    The networks blur the edge between lips and teeth.
    """
    eyes: EyeColours
    """Colours of iris and sclera."""


def parts_obstacle(head: HeadModel, settings: ExportSettings) -> str:
    """Why an export has no parts; empty where it can have them."""
    if not PART_CHOICES[settings.parts]:
        return "the settings leave them out"
    if head.edition != "openhead" or not set(GROUPS) <= set(head.vertex_groups):
        return f"a head model of edition {head.edition} has no teeth"
    if settings.faces is not None and settings.faces < MIN_BUDGET:
        return f"they need a face budget of {MIN_BUDGET:,} (--faces)"
    return ""


def skin_budget(settings: ExportSettings) -> int | None:
    """The face budget of the skin, before it is opened, within that of an export with parts."""
    if settings.faces is None:
        return None
    return settings.faces - sum(PART_FACES[name] for name in PART_CHOICES[settings.parts])


def open_skin(
    mesh: Mesh,
    avatar: ImplicitAvatar,
    field: Field,
    choice: str = "all",
    labelled: Callable[[Mesh, Opening], Opening | None] | None = None,
) -> OpenedSkin | None:
    """Remove the membrane that spans the mouth, or the eyeballs, too, from a canonical surface.

    Args:
        mesh: the canonical surface.
        avatar: the networks; their head model is an OpenHead.
        field: the field whose surface the mesh is.
        choice: a row of `PART_CHOICES`.
        labelled: returns the outline of the mouth that labels of pictures show, from the mesh and
            the outline of the head model; without it, or where it returns None, that of the head
            model is used.

    Returns:
        The skin; None where the surface has neither mouth nor eyes in the head model's places.
    """
    landmarks = canonical_points(avatar.head).points[landmark_vertices(avatar.head)]
    eyes = read_eye_colours(mesh, avatar)
    rims: dict[str, Int64[Array, " _"]] = {}
    edge = np.zeros(len(mesh.vertices), dtype=np.bool_)
    for name in PART_CHOICES[choice]:
        row = OPENINGS[name]
        if not _on_surface(mesh, landmarks[list(row.upper + row.lower)]):
            continue
        opening = _outline(row, landmarks)
        limit = row.limit
        if name == "mouth" and labelled is not None:
            shown = labelled(mesh, opening)
            if shown is not None:
                opening, limit = shown, LABELLED_LIMIT
        if limit:
            opening = opening.meeting(mesh, avatar, NEUTRAL_EXPRESSION, REST_POSE, limit=limit)
        finer = refine_around(mesh, opening, field, len(mesh.faces) + RIM_FACES)
        opened, rim, used = open_along(finer, opening)
        if len(rim) < MIN_RIM:
            continue
        rims = {before: np.searchsorted(used, old) for before, old in rims.items()}
        edge = np.pad(edge, (0, int(used[-1]) + 1 - len(edge)))[used]
        edge |= _strip(opened, opening, row.strip)
        rims[name], mesh = rim, opened
    return OpenedSkin(mesh, rims, edge, eyes) if rims else None


def _outline(row: OpeningRow, landmarks: Float32[Array, "L 3"]) -> Opening:
    """The outline of an opening of the head model."""
    opening = Opening.through(landmarks[list(row.upper)], landmarks[list(row.lower)], row.depth)
    return opening.widened(*row.widening)


def _on_surface(mesh: Mesh, landmarks: Float32[Array, "N 3"]) -> bool:
    """Whether the front of a surface is where the head model has its lips or lids."""
    front = front_points(mesh, *landmarks[:, :2].astype(np.float64).T)
    return bool(np.median(np.abs(front - landmarks)[:, 2]) < MAX_DISTANCE)


def _strip(mesh: Mesh, opening: Opening, widths: tuple[float, float]) -> Bool[Array, " V"]:
    """The strip along an opening of `OpenedSkin.edge`; it ends in the corners."""
    signed = opening.signed(mesh.vertices)
    x, y, _ = mesh.vertices.T
    middle = np.interp(x, opening.x, (opening.upper + opening.lower) / 2.0)
    centre, half = (opening.x[0] + opening.x[-1]) / 2.0, (opening.x[-1] - opening.x[0]) / 2.0
    off_centre = ((x - centre) / half).clip(-1.0, 1.0)
    return np.asarray(signed < np.where(y > middle, *widths) * np.sqrt(1.0 - off_centre**2))


def build_parts(
    avatar: ImplicitAvatar, skin: OpenedSkin, mesh: Mesh, deformation: Deformation
) -> PartMesh:
    """The parts of an opened skin.

    Args:
        avatar: the networks.
        skin: the opened skin.
        mesh: its mesh, in which unseen vertices may have moved.
        deformation: motion of its vertices.
    """
    joints, bones = avatar.joints_rest, deformation.weights.shape[1]
    parts: list[PartMesh] = []
    for name, vertices in skin.rims.items():
        rim = _motion(mesh, vertices, deformation)
        if name not in EYE_BONES:
            front = float(rim.canonical[:, 2].max())
            parts += [cavity(rim, joints), *teeth_and_tongue(avatar.head, bones, front)]
            continue
        number = BONES.index(EYE_BONES[name])
        parts.append(eyeball(name, joints[number], avatar.joint_basis[:, number], bones, skin.eyes))
        parts.append(lid_insides(name, rim, joints[number], joints))
    return joined(parts)


def _motion(mesh: Mesh, rim: Int64[Array, " R"], deformation: Deformation) -> RimMotion:
    values = (part.cpu().numpy()[rim] for part in deformation)
    return RimMotion(rim, mesh.vertices[rim], *values)
