"""Unseen surface: the vertices of a baked avatar that no training view shows.

A checkpoint stores neither cameras nor poses of its training. `views_of` takes those of a track or
data set; without one, `assumed_views` turns the head in front of a camera as a portrait video
does. What the networks say of unseen surface is extrapolation: a second face on the back of the
head, hair that ends behind the ears. `unseen_fill` replaces it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Float64
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.camera import MARGIN, Camera, orbited
from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.model.surface.mesh import Mesh
from imavatar_deploy.optional import require
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.rendering.posing import Animator, resting_camera
from imavatar_deploy.rendering.rasteriser import Fragments, Rasteriser
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.tracks import FlameTrack

from .fidelity.reference_poses import FLAME_CORNER, reference_poses
from .unseen_options import UnseenSettings

YAW = (-0.6, -0.3, 0.0, 0.3, 0.6)
"""Angles of the neck about the vertical axis in the assumed views, radians."""

PITCH = (-0.2, 0.0, 0.2)
"""Angles of the neck about the sideways axis in the assumed views, radians."""

JAW_OPENING = 0.3
"""Radians by which the jaw opens in the assumed views."""

PICTURE_MARGIN = 1.75
"""The assumed views show this many times the longer side of the head; what they do not is filled.

Those of the bundled sample show 1.7 times as much, the crops of tracked videos 1.65.
"""

MAX_VIEWS = 200
"""Largest number of views that are drawn; of a longer track, frames at equal distances."""

SIZE = 640
"""Pixels a side of a drawn view: a face of a mesh of 50,000 faces covers four pixels."""

MIN_FACING = 0.15
"""Cosine between the normal and the direction to the camera from which on a face's colour is seen.

Faces that are tilted by more than 81 degrees cover few pixels, whose rays hardly determine colours.
Their shape is seen: it is the outline.
"""

MIN_AREA = 0.01
"""Smallest area of a region of unseen surface, square model units (6 cm²).

Smaller ones, such as nostrils and folds, lie within seen surface, which determines them.
"""

ORBIT_YAW = 8
"""Directions around the head from which a point is visible at all, at each of `ORBIT_PITCH`."""

ORBIT_PITCH = (-0.7, 0.0, 0.7)


class UnseenSurface(NamedTuple):
    """What the views of the training leave undetermined."""

    colours: Bool[Array, " V"]
    """Vertices whose colours are unseen: regions that no view shows from a side of `MIN_FACING`."""
    drawn: Bool[Array, " V"]
    """Vertices of the faces that a view shows from any side; their shape is seen."""


class TrainingViews(NamedTuple):
    """T frames of the training and their cameras."""

    expression: Float32[Array, "T E"]
    pose: Float32[Array, "T 15"]
    cameras: tuple[Camera, ...]


def views_of(
    tracks: Sequence[FlameTrack], avatar: Avatar, limit: int | None = MAX_VIEWS
) -> TrainingViews:
    """The frames of tracks, at most `limit` of each; without cameras, seen from the front."""
    front = _front(avatar)
    frames: list[tuple[FlameTrack, int]] = []
    for track in tracks:
        count = min(limit or len(track), len(track))
        frames += [(track, row) for row in np.linspace(0, len(track) - 1, count).astype(int)]
    return TrainingViews(
        np.stack([track.expression[row] for track, row in frames]),
        np.stack([track.pose[row] for track, row in frames]),
        tuple(track.cameras[row] if track.cameras else front for track, row in frames),
    )


def assumed_views(avatar: Avatar) -> TrainingViews:
    """Views of a portrait video: one camera, in front of which the head turns and speaks.

    The head turns to `YAW` and `PITCH`; every expression appears once, and the jaw opens.
    """
    turns = np.zeros((len(YAW) * len(PITCH), POSE_SIZE), dtype=np.float32)
    neck = 3 * BONES.index("neck")
    turns[:, neck : neck + 2] = [(pitch, yaw) for yaw in YAW for pitch in PITCH]
    opened = np.zeros((1, POSE_SIZE), dtype=np.float32)
    opened[0, 3 * BONES.index("jaw")] = JAW_OPENING
    single = np.eye(EXPRESSION_SIZE, dtype=np.float32)
    if avatar.edition != "openhead":
        single = np.float32(FLAME_CORNER) * np.concatenate([single, -single])
    corners = reference_poses(avatar.edition)
    expression = np.zeros((len(turns) + 1, EXPRESSION_SIZE), dtype=np.float32)
    at_rest = np.zeros((len(single), POSE_SIZE), dtype=np.float32)
    expressions = np.concatenate([expression, single, corners.expression])
    poses = np.concatenate([turns, opened, at_rest, corners.pose])
    return TrainingViews(expressions, poses, (_front(avatar),) * len(poses))


def _front(avatar: Avatar) -> Camera:
    """The default view, widened to what training pictures show."""
    return orbited(resting_camera(avatar), yaw=0.0, pitch=0.0, zoom=MARGIN / PICTURE_MARGIN)


def unseen_surface(
    avatar: Avatar, views: TrainingViews, progress: Progress = silent
) -> UnseenSurface:
    """The unseen surface: regions on the outside of the head that no view shows.

    Surface that is hidden from everywhere, as within the mouth and around the eyeballs, is no
    unseen surface: it has no seen neighbourhood to be filled from, and what opens it, shows it.
    """
    seen, drawn = _seen(avatar, views, progress)
    if not seen.any():
        return UnseenSurface(seen, drawn)
    outside, _ = _seen(avatar, _orbit(avatar), silent)
    return UnseenSurface(_large_regions(avatar, ~seen, outside), drawn)


def unseen_notes(filled: Bool[Array, " V"], settings: UnseenSettings) -> list[str]:
    """A sentence about the vertices that are filled."""
    if not filled.any():
        return []
    views = (
        "the views of a portrait video (--seen-from states those of the training)"
        if not settings.seen_from
        else "the views of --seen-from"
    )
    return [
        f"filled {filled.sum():,} of {len(filled):,} vertices, which {views} do not show, from the "
        "surface around them; --keep-unseen keeps what the networks make of them"
    ]


def _orbit(avatar: Avatar) -> TrainingViews:
    """The avatar at rest from all around, whole."""
    front = _front(avatar)
    cameras = tuple(
        orbited(front, yaw=yaw, pitch=pitch, zoom=0.5)
        for yaw in np.linspace(0.0, 2.0 * np.pi, ORBIT_YAW, endpoint=False)
        for pitch in ORBIT_PITCH
    )
    expression = np.zeros((len(cameras), avatar.expression_size), dtype=np.float32)
    return TrainingViews(expression, np.zeros((len(cameras), POSE_SIZE), np.float32), cameras)


def _seen(
    avatar: Avatar, views: TrainingViews, progress: Progress
) -> tuple[Bool[Array, " V"], Bool[Array, " V"]]:
    """Vertices of the faces that a view shows from the side of `MIN_FACING`, and from any side."""
    seen = np.zeros((2, len(avatar.faces)), dtype=np.bool_)
    drawings = drawn_views(avatar, views, progress, "visible surface")
    for (vertices, pixels), camera in zip(drawings, views.cameras, strict=True):
        drawn = np.unique(pixels.triangle[pixels.triangle >= 0])
        seen[0, drawn] |= _facing(vertices[avatar.faces[drawn]], camera) > MIN_FACING
        seen[1, drawn] = True
    return _of_vertices(avatar, seen[0]), _of_vertices(avatar, seen[1])


def drawn_views(
    avatar: Avatar, views: TrainingViews, progress: Progress, name: str
) -> Iterator[tuple[Float32[Array, "V 3"], Fragments]]:
    """For each view, the posed vertices and the picture; the next view overwrites both.

    Args:
        avatar: the avatar to draw; its colours do not count.
        views: frames and cameras.
        progress: shows how many views are drawn.
        name: what the progress is called.
    """
    with Workers() as workers, progress(name, len(views.pose)) as advance:
        animator = Animator(avatar, workers)
        rasteriser = Rasteriser(avatar.faces, SIZE, SIZE, workers)
        for expression, pose, camera in zip(*views, strict=True):
            vertices = animator(expression, pose).vertices
            yield vertices, rasteriser.draw(vertices, camera.image_matrix(SIZE, SIZE))
            advance(1)


def _facing(corners: Float32[Array, "N 3 3"], camera: Camera) -> Float64[Array, " N"]:
    """Cosine between the normal of each face and the direction to the camera."""
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    towards = camera.centre - corners.mean(axis=1)
    lengths = np.linalg.norm(normal, axis=1) * np.linalg.norm(towards, axis=1)
    return np.asarray((normal * towards).sum(axis=1) / np.maximum(lengths, 1e-20), np.float64)


def _of_vertices(avatar: Avatar, faces: Bool[Array, " F"]) -> Bool[Array, " V"]:
    """Vertices of the faces in a mask."""
    vertices = np.zeros(avatar.vertex_count, dtype=np.bool_)
    vertices[avatar.faces[faces]] = True
    return vertices


def _large_regions(
    avatar: Avatar, unseen: Bool[Array, " V"], outside: Bool[Array, " V"]
) -> Bool[Array, " V"]:
    """Connected regions of a mask of which at least `MIN_AREA` lies outside.

    Islands of other surface within them that are smaller become a part of them.
    """
    mesh = Mesh(avatar.canonical.T, avatar.faces)
    areas = np.zeros(avatar.vertex_count)
    np.add.at(areas, mesh.faces, mesh.face_areas()[:, None] / 3.0)
    filled = _selected(mesh, unseen, np.where(outside, areas, 0.0))
    return ~_selected(mesh, ~filled, areas)


def _selected(
    mesh: Mesh, mask: Bool[Array, " V"], areas: Float64[Array, " V"]
) -> Bool[Array, " V"]:
    """Connected regions of a mask with an area of at least `MIN_AREA`."""
    sparse = require("scipy.sparse", extra="export")
    graph = require("scipy.sparse.csgraph", extra="export")
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    edges = edges[mask[edges].all(axis=1)]
    count = len(mesh.vertices)
    links = sparse.coo_matrix((np.ones(len(edges), np.bool_), tuple(edges.T)), (count, count))
    _, region = graph.connected_components(links, directed=False)
    sums = np.bincount(region[mask], areas[mask], minlength=count)
    return np.asarray(mask & (sums[region] >= MIN_AREA))
