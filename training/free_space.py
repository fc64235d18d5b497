"""Free space: the air in front of skin is outside, in pockets, too, where no mask shows it to be empty.

The pocket between chin and neck, for one, lies within nearly every silhouette. The signed distance
there follows whatever moves the network, and where it falls below zero a lobe grows, which takes the
colour of what it hides. Where the labels say skin, however, the surface lies on the head model, and what
is nearer to the camera is air.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d, softplus

from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.conventions import BOUNDING_RADIUS, UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import bone_transforms
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.head_avatar import HeadAvatarModel

from .batch import Batch
from .dataset import FaceDataset
from .semantics import NOWHERE, head_depth, is_skin, nearest_around
from .validation import evenly
from .warm_start.head_surface import HeadSurface
from .warm_start.surface_distance import query_surface

# Empty space: canonical points that a frame shows to be background must be outside; keeps the air clear of floaters.
#
# The raster tracer looks at rays near the surface it knows, so what grows elsewhere would be seen only when it is large.
# Any canonical point can be asked for in any frame: deform it, project it, and look at the mask (a visual hull).


MARGIN = 2
"""Pixels around the mask that prove nothing."""


def empty_space_term(
    model: HeadAvatarModel, frame: Frame, view: RayBundle, batch: Batch, sharpness: float
) -> Tensor:
    """Binary cross-entropy of occupancy at the batch's points in space that are seen to be empty, / all of them.

    A backward variant takes its points in deformed space, a forward one in canonical space: neither has to search.
    """
    points = batch.space[_seen_empty(batch.space, model, frame, view, batch.silhouette)]
    if isinstance(model, ForwardAvatarModel):
        sdf: Tensor = model.geometry(points, model.geometry_code(frame)).sdf
    else:
        sdf = model.sdf_at(points, points, frame)
    return softplus(-sharpness * sdf).sum() / (sharpness * max(1, len(batch.space)))


@torch.no_grad()
def _seen_empty(
    points: Tensor, model: HeadAvatarModel, frame: Frame, view: RayBundle, silhouette: Tensor
) -> Tensor:
    placed = (
        model.deform(points, frame.expression, frame.pose)
        if isinstance(model, ForwardAvatarModel)
        else points
    )
    return seen_empty(placed, view, silhouette)


class ProjectedPoints(NamedTuple):
    """Where K deformed points are in an image."""

    column: Tensor  # [K] integer, within the image
    row: Tensor  # [K] likewise
    depth: Tensor  # [K] along the camera's axis, model units
    inside: Tensor  # [K] bool: in front of the camera, and in the image; the rest means nothing elsewhere


def projected(points: Tensor, view: RayBundle, size: Sequence[int]) -> ProjectedPoints:
    """The pixels of deformed points `[K, 3]` in an image of `size` (height, width)."""
    height, width = size
    rotation = torch.from_numpy(view.camera.world_to_camera[:, :3]).to(points)
    fx, fy, cx, cy = view.camera.intrinsics.tolist()
    x, y, z = ((points - view.origin.detach()) @ rotation.T).unbind(dim=1)
    depth = z.clamp(max=-1e-6)
    column = (cx * width - fx * width * x / depth).round().long()
    row = (cy * height + fy * height * y / depth).round().long()
    inside = (z < 0.0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return ProjectedPoints(column.clamp(0, width - 1), row.clamp(0, height - 1), -z, inside)


def seen_empty(points: Tensor, view: RayBundle, silhouette: Tensor) -> Tensor:
    """[K] bool: deformed points `[K, 3]` whose pixel and its neighbours are background; not those off the image."""
    pixels = projected(points, view, silhouette.shape)
    near = (
        max_pool2d(silhouette[None, None].float(), 2 * MARGIN + 1, stride=1, padding=MARGIN)[0, 0]
        > 0.0
    )
    empty: Tensor = pixels.inside & ~near[pixels.row, pixels.column]
    return empty


Float = NDArray[np.float32]

NEAR, FAR = 0.05, 0.35
"""Distances from the head model (model units, 12 to 90 mm) between which its air is looked at: skin that
the head model does not follow exactly is nearer, and lobes begin in pockets."""

CANDIDATES = 200_000
"""Points in the bounding sphere, of which those in this shell and in front of skin are kept."""

FRAMES = 24
"""Frames, spread over the dataset, of which one at least must show a point to be in front of skin."""

SHARE, MOST = 0.5, 0.05
"""Part of its distance from the head model, and most of it, that a point's signed distance must be."""


@dataclass(frozen=True)
class Air:
    """Canonical points around the head model that some frame shows to be in front of skin."""

    points: Float  # [P, 3]
    level: Float  # [P] signed distance that each must have

    @classmethod
    def around(cls, dataset: FaceDataset) -> Air | None:
        """The air of a dataset's subject, evenly spread; None where the data has no labels of skin."""
        rng = np.random.default_rng(0)
        points = rng.uniform(-BOUNDING_RADIUS, BOUNDING_RADIUS, (CANDIDATES, 3)).astype(np.float32)
        points = points[np.linalg.norm(points, axis=1) < BOUNDING_RADIUS]
        subject = HeadSurface.from_head(dataset.head)
        found = query_surface(subject, points)
        near = (found.distance > NEAR) & (found.distance < FAR)
        corners = subject.faces[found.faces[near]]
        weights = np.einsum("nc,ncj->nj", found.barycentric[near], subject.weights[corners, 1:])
        points, distance = points[near], found.distance[near]
        kept = _in_front_of_skin(dataset, points, weights)
        if not kept.any():
            return None
        return cls(points[kept], np.minimum(SHARE * distance[kept], MOST))

    def added(
        self, batch: Batch, dataset: FaceDataset, count: int, rng: np.random.Generator
    ) -> Batch:
        """A batch with `count` of the points, where its frame has labels."""
        limit = skin_limit(dataset, batch.frame)
        if limit is None:
            return batch
        chosen = rng.integers(len(self.points), size=count)
        air = np.column_stack([self.points[chosen], self.level[chosen]])
        return batch._replace(air=torch.from_numpy(air), limit=torch.from_numpy(limit))


def skin_limit(dataset: FaceDataset, frame: int) -> Float | None:
    """[S, S] depth before which each pixel of a frame shows nothing, 0 where that is not known.

    None where the frame has no labels.
    """
    semantic, track = dataset.observation(frame).semantic, dataset.track
    if semantic is None:
        return None
    codes = (track.expression[frame], track.pose[frame])
    depth = head_depth(dataset.head, *codes, track.cameras[frame], dataset.size)
    nearest = nearest_around(depth)
    known = is_skin(semantic) & (nearest < NOWHERE)
    return np.where(known, nearest - NEAR, 0.0).astype(np.float32)


def _in_front_of_skin(dataset: FaceDataset, points: Float, weights: Float) -> NDArray[np.bool_]:
    """[N] bool: canonical points that one of `FRAMES` frames shows in front of skin.

    Args:
        weights: `[N, 5]` by which each follows the head model's bones.
    """
    kept, size = np.zeros(len(points), dtype=np.bool_), (dataset.size, dataset.size)
    for frame in evenly(FRAMES, len(dataset)):
        limit = skin_limit(dataset, frame)
        if limit is None:
            continue
        placed = torch.from_numpy(_carried(dataset, frame, points, weights))
        none = torch.zeros((0, 2), dtype=torch.long)
        view = RayBundle.of(dataset.track.cameras[frame], size, none)
        kept |= _before(placed, view, torch.from_numpy(limit)).numpy()
    return kept


def _carried(dataset: FaceDataset, frame: int, points: Float, weights: Float) -> Float:
    """[N, 3] canonical points where the head's bones take them in a frame."""
    track = dataset.track
    posed = _skinning(dataset.head, track.expression[frame], track.pose[frame], weights)
    rest = _skinning(
        dataset.head, np.zeros_like(track.expression[frame]), canonical_pose(), weights
    )
    homogeneous = np.column_stack([points, np.ones(len(points), dtype=np.float32)])
    moved = posed @ np.linalg.solve(rest, homogeneous[:, :, None])
    return np.asarray(moved[:, :3, 0], dtype=np.float32)


def _skinning(head: HeadModel, expression: Float, pose: Float, weights: Float) -> Float:
    """[N, 4, 4] the motion from rest of points with these weights, model units."""
    joints = UNITS_PER_METRE * head.joints(expression)
    return np.asarray(np.einsum("nj,jab->nab", weights, bone_transforms(pose, joints)), np.float32)


def _before(deformed: Tensor, view: RayBundle, limit: Tensor) -> Tensor:
    """[K] bool: deformed points `[K, 3]` that are nearer to the camera than the limit of their pixel."""
    pixels = projected(deformed, view, limit.shape)
    before: Tensor = pixels.inside & (pixels.depth < limit[pixels.row, pixels.column])
    return before


def free_space_term(
    model: HeadAvatarModel,
    frame: Frame,
    view: RayBundle,
    air: Tensor,
    limit: Tensor,
    sharpness: float,
) -> Tensor:
    """Binary cross-entropy of occupancy against air at the points that are in front of skin, / all.

    Zero for variants that map backward: they do not know where a canonical point is in the frame.

    Args:
        air: `[K, 4]` canonical points, and the signed distance that each must have.
        limit: `[S, S]` see `skin_limit`.
    """
    if not isinstance(model, ForwardAvatarModel):
        return air.new_zeros(())
    with torch.no_grad():
        before = _before(model.deform(air[:, :3], frame.expression, frame.pose), view, limit)
    points, level = air[before, :3], air[before, 3]
    sdf: Tensor = model.geometry(points, model.geometry_code(frame)).sdf
    return softplus(sharpness * (level - sdf)).sum() / (sharpness * max(1, len(air)))
