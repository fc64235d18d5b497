"""Bounds of the bust that an export cuts: where the pictures of the training end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imavatar_deploy.arrays import Array, Float64
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.model import HeadAvatarModel, ImplicitAvatar
from imavatar_deploy.model.surface.extract import field_of
from imavatar_deploy.model.surface.mesh import Mesh
from imavatar_deploy.progress import Progress, silent

from .bake import shape_of
from .bust import NO_BOUNDS, RIM, UPRIGHT, Bounds, picture_bounds
from .mesh_cleanup import canonical_points, extract_surface
from .settings import ExportSettings
from .unseen import TrainingViews, drawn_views, views_of
from .unseen_options import UnseenSettings

COARSE = 64
"""Cells a side of the surface that is drawn in the views; a cell is 8 mm wide."""

SEEN_MARGIN = 0.01
"""Distance of the cut from what a view shows, model units (2.5 mm).

The coarse surface deviates by less from the final one.
"""

AGREEMENT = 0.5
"""Smallest length of the mean of an edge's unit normals; cameras around a head have a mean of 0."""


def bust_bounds(
    model: HeadAvatarModel, settings: ExportSettings, progress: Progress = silent
) -> Bounds:
    """Where an export cuts the bust.

    The views of `--seen-from` show it on the surface of the default variant; those of other
    variants, and exports without views, take the `picture_bounds`.

    Args:
        model: the avatar, of any variant.
        settings: of the export.
        progress: shows how far the work is.
    """
    unseen = settings.unseen
    if not unseen.cut_bust:
        return NO_BOUNDS
    head = canonical_points(model.head)
    if not unseen.seen_from or not isinstance(model, ImplicitAvatar):
        return picture_bounds(head)
    coarse = replace(settings, resolution=COARSE)
    mesh = extract_surface(field_of(model), head, coarse, progress).mesh
    avatar = shape_of(model, mesh, progress)
    return seen_bounds(avatar, views_of(unseen.seen_from, avatar, limit=None), progress)


def seen_bounds(avatar: Avatar, views: TrainingViews, progress: Progress = silent) -> Bounds:
    """Bounds of all that any view shows.

    Three planes have the directions of the pictures' edges, averaged over the views, and lie
    `SEEN_MARGIN` farther out: they end the front where the pictures end. Three `UPRIGHT` ones,
    `RIM` farther out, end what the pictures do not show behind it.

    Args:
        avatar: a coarse avatar; its colours do not count.
        views: frames and cameras of the training.
        progress: shows how far the work is.
    """
    edges = picture_edges(views)
    normals = np.concatenate([edges, UPRIGHT])
    margins = np.repeat([SEEN_MARGIN, RIM], [len(edges), len(UPRIGHT)])
    offsets = np.full(len(normals), -np.inf)
    for _, pixels in drawn_views(avatar, views, progress, "pictures on the surface"):
        shown = pixels.triangle >= 0
        corners = avatar.canonical.T[avatar.faces[pixels.triangle[shown]]]
        points = np.einsum("nk,nkc->nc", pixels.barycentrics[shown], corners)
        offsets = np.maximum(offsets, (points @ normals.T).max(axis=0, initial=-np.inf))
    if not np.isfinite(offsets).all():  # no view shows any of it
        return NO_BOUNDS
    return Bounds.of(normals, offsets + margins)


def picture_edges(views: TrainingViews) -> Float64[Array, "P 3"]:
    """Outward normals of the planes through camera and left, right and lower edge of the picture.

    They are the unit means over the views; an edge in which the views disagree is left out. A point
    (x, y, z) of camera space, z < 0, is beyond the left edge where -x + z cx / fx > 0, and so on;
    see `Camera`.
    """
    total = np.zeros((3, 3))
    for camera in views.cameras:
        fx, fy, cx, cy = camera.intrinsics.astype(np.float64)
        edges = np.array([[-1, 0, cx / fx], [1, 0, (1 - cx) / fx], [0, -1, (1 - cy) / fy]])
        edges /= np.linalg.norm(edges, axis=1, keepdims=True)
        total += edges @ camera.world_to_camera[:, :3]
    length = np.linalg.norm(total, axis=1, keepdims=True)
    agree = length[:, 0] > AGREEMENT * len(views.cameras)
    return np.asarray(total[agree] / length[agree])


def bust_notes(mesh: Mesh, bounds: Bounds, settings: UnseenSettings) -> list[str]:
    """A sentence about the cut of a mesh, if it has one."""
    if not bounds.flat(mesh.vertices).any():
        return []
    pictures = (
        "assumed pictures of twice the head's height end (--seen-from states those of the training)"
        if not settings.seen_from
        else "the pictures of --seen-from end"
    )
    return [f"cut the bust flat where {pictures}; --keep-bust keeps all of it"]
