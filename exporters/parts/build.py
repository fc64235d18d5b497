"""Open the skin of an export, and build the parts that show in the openings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Int64
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.head_fit.ibug_landmarks import landmark_vertices
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.deformation import Deformation
from imavatar_deploy.model.surface.field import Field
from imavatar_deploy.model.surface.mesh import Mesh

from ..mesh_cleanup import canonical_points
from ..settings import ExportSettings
from .cut import open_along, refine_around
from .mouth import RimMotion, cavity, teeth_and_tongue
from .opening import Opening, front_points
from .part_mesh import PartMesh, joined

MOUTH_UPPER = (60, 61, 62, 63, 64)
MOUTH_LOWER = (60, 67, 66, 65, 64)
"""Landmarks of the inner edges of the lips, from one corner to the other."""

MOUTH_DEPTH = 0.1
"""Depth behind the corners of the mouth up to which the surface is opened, model units."""

UPPER_EDGE = 0.011
LOWER_EDGE = 0.018
"""Widths of the strip along the lips whose colours are continued, model units (2.7 and 4.5 mm)."""

GROUPS = ("helper-upper-teeth", "helper-lower-teeth", "helper-tongue")
"""Vertex groups of a head model that has a mouth."""

PART_FACES = 5_000
"""Faces that parts and openings take, at most."""

RIM_FACES = 900
"""Faces that a finer rim may take."""

MIN_BUDGET = 3 * PART_FACES
"""Smallest face budget of an export with parts; with fewer faces the skin is too coarse."""

MIN_RIM = 24
"""Smallest number of vertices of a rim."""

MAX_DISTANCE = 0.08
"""Largest distance of the surface from the lips of the head model, model units (2 cm)."""

NO_MOUTH = "the surface is not where the head model has its mouth"


@dataclass(frozen=True)
class OpenedSkin:
    """The skin of an avatar with an open mouth."""

    mesh: Mesh
    mouth: Int64[Array, " R"]
    """Vertices of the mouth's rim, in order."""
    edge: Bool[Array, " V"]
    """Vertices along the openings, whose colours continue those farther away.

    The networks blur the edge between lips and teeth.
    """


def parts_obstacle(head: HeadModel, settings: ExportSettings) -> str:
    """Why an export has no parts; empty where it can have them."""
    if not settings.parts:
        return "the settings leave them out"
    if head.edition != "openhead" or not set(GROUPS) <= set(head.vertex_groups):
        return f"a head model of edition {head.edition} has no teeth"
    if settings.faces is not None and settings.faces < MIN_BUDGET:
        return f"they need a face budget of {MIN_BUDGET:,} (--faces)"
    return ""


def skin_budget(faces: int | None) -> int | None:
    """The face budget of the skin, before it is opened, within that of the export."""
    return None if faces is None else faces - PART_FACES


def open_skin(mesh: Mesh, avatar: ImplicitAvatar, field: Field) -> OpenedSkin | None:
    """Remove the membrane that spans the mouth of a canonical surface.

    Args:
        mesh: the canonical surface.
        avatar: the networks; their head model is an OpenHead.
        field: the field whose surface the mesh is.

    Returns:
        The skin; None where the surface has no mouth.
    """
    points = canonical_points(avatar.head).points
    landmarks = points[landmark_vertices(avatar.head)]
    upper, lower = landmarks[list(MOUTH_UPPER)], landmarks[list(MOUTH_LOWER)]
    if not _on_surface(mesh, np.concatenate([upper, lower])):
        return None
    outline = Opening.through(upper, lower, MOUTH_DEPTH)
    neutral = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
    closed = np.zeros(POSE_SIZE, dtype=np.float32)
    outline = outline.meeting(mesh, avatar, neutral, closed)
    finer = refine_around(mesh, outline, field, len(mesh.faces) + RIM_FACES)
    opened, rim = open_along(finer, outline)
    if len(rim) < MIN_RIM:
        return None
    return OpenedSkin(opened, rim, _edge(opened, outline))


def _on_surface(mesh: Mesh, landmarks: Float32[Array, "N 3"]) -> bool:
    """Whether the front of a surface is where the head model has its lips."""
    front = front_points(mesh, *landmarks[:, :2].astype(np.float64).T)
    return bool(np.median(np.abs(front - landmarks)[:, 2]) < MAX_DISTANCE)


def _edge(mesh: Mesh, outline: Opening) -> Bool[Array, " V"]:
    """The strip of `OpenedSkin.edge`; it ends in the corners."""
    signed = outline.signed(mesh.vertices)
    middle = np.interp(mesh.vertices[:, 0], outline.x, (outline.upper + outline.lower) / 2.0)
    width = np.where(mesh.vertices[:, 1] > middle, UPPER_EDGE, LOWER_EDGE)
    centre, half = (outline.x[0] + outline.x[-1]) / 2.0, (outline.x[-1] - outline.x[0]) / 2.0
    off_centre = ((mesh.vertices[:, 0] - centre) / half).clip(-1.0, 1.0)
    return np.asarray(signed < width * np.sqrt(1.0 - off_centre**2))


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
    rim = _motion(mesh, skin.mouth, deformation)
    front = float(rim.canonical[:, 2].max())
    bones = rim.weights.shape[1]
    return joined([cavity(rim, avatar.joints_rest), *teeth_and_tongue(avatar.head, bones, front)])


def _motion(mesh: Mesh, rim: Int64[Array, " R"], deformation: Deformation) -> RimMotion:
    values = (part.cpu().numpy()[rim] for part in deformation)
    return RimMotion(rim, mesh.vertices[rim], *values)
