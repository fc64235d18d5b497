"""Losses on empty space: points outside the silhouette, and points in front of labelled skin.

`empty_space_term` keeps the background clear. The raster tracer follows rays near the known
surface, so a floater elsewhere is met only once it is large. A canonical point can be tested in any
frame: deform it, project it, and look up the mask (a visual hull).

`free_space_term` keeps the air in front of skin clear. The pocket between chin and neck lies inside
nearly every silhouette, so no mask shows it to be empty. Where its signed distance falls below
zero, a lobe of surface grows and takes the colour of the skin behind it. Where the semantic labels
say skin, the surface lies on the head model, and any point nearer to the camera is air.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, softplus

from imavatar_deploy.arrays import Array, Bool, Float32
from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.conventions import BOUNDING_RADIUS, UNITS_PER_METRE
from imavatar_deploy.dataset import FaceDataset
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import bone_transforms
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.head_avatar import HeadAvatarModel

from .batch import Batch
from .semantics import EMPTY_DEPTH, head_depth, is_skin, nearest_around
from .validation import evenly_spaced
from .warm_start.head_surface import HeadSurface
from .warm_start.surface_distance import query_surface

MARGIN = 2
"""Width of the uncertain border around the mask, pixels."""

MIN_AIR_DISTANCE = 0.05
MAX_AIR_DISTANCE = 0.35
"""Distances from the head model between which air is sampled, model units (12 to 90 mm). Skin
that the head model does not follow exactly is nearer, and lobes begin in pockets."""

CANDIDATES = 200_000
"""Points drawn in the bounding sphere; those in this shell and in front of skin are used."""

FRAMES = 24
"""Frames, evenly spread over the dataset; at least one must show a point in front of skin."""

REQUIRED_SHARE = 0.5
MAX_REQUIRED_DISTANCE = 0.05
"""Required signed distance of a point of air: `REQUIRED_SHARE` of its distance from the head model,
at most `MAX_REQUIRED_DISTANCE` model units."""

# Empty space: background of the silhouette


def empty_space_term(
    model: HeadAvatarModel, frame: Frame, view: RayBundle, batch: Batch, sharpness: float
) -> Tensor:
    """Binary cross-entropy of occupancy at the batch's empty points in space, divided by all K.

    Forward variants interpret the points in canonical space, backward variants in deformed space,
    so neither needs a correspondence search.
    """
    points = batch.space[_in_background(batch.space, model, frame, view, batch.silhouette)]
    if isinstance(model, ForwardAvatarModel):
        sdf: Tensor = model.geometry(points, model.geometry_code(frame)).sdf
    else:
        sdf = model.sdf_at(points, points, frame)
    return softplus(-sharpness * sdf).sum() / (sharpness * max(1, len(batch.space)))


@torch.no_grad()
def _in_background(
    points: Tensor, model: HeadAvatarModel, frame: Frame, view: RayBundle, silhouette: Tensor
) -> Tensor:
    if isinstance(model, ForwardAvatarModel):
        points = model.deform(points, frame.expression, frame.pose)
    return in_background(points, view, silhouette)


class ProjectedPoints(NamedTuple):
    """Pixels and depths of K deformed points in an image, valid where `inside` is true."""

    column: Tensor  # [K] integer, within the image
    row: Tensor  # [K] integer, within the image
    depth: Tensor  # [K] along the camera's axis, model units
    inside: Tensor  # [K] bool: in front of the camera and in the image


def project_points(points: Tensor, view: RayBundle, size: Sequence[int]) -> ProjectedPoints:
    """Project deformed points `[K, 3]` into an image of `size` (height, width)."""
    height, width = size
    rotation = torch.from_numpy(view.camera.world_to_camera[:, :3]).to(points)
    fx, fy, cx, cy = view.camera.intrinsics.tolist()
    x, y, z = ((points - view.origin.detach()) @ rotation.T).unbind(dim=1)
    depth = z.clamp(max=-1e-6)
    column = (cx * width - fx * width * x / depth).round().long()
    row = (cy * height + fy * height * y / depth).round().long()
    inside = (z < 0.0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return ProjectedPoints(column.clamp(0, width - 1), row.clamp(0, height - 1), -z, inside)


def in_background(points: Tensor, view: RayBundle, silhouette: Tensor) -> Tensor:
    """Which deformed points have a background pixel with background neighbours, `[K]` bool.

    Points outside the image are not empty.

    Args:
        points: `[K, 3]` deformed points, model units.
        silhouette: `[H, W]` bool, the mask of the frame.
    """
    pixels = project_points(points, view, silhouette.shape)
    mask = silhouette[None, None].float()
    near = max_pool2d(mask, 2 * MARGIN + 1, stride=1, padding=MARGIN)[0, 0] > 0.0
    empty: Tensor = pixels.inside & ~near[pixels.row, pixels.column]
    return empty


# Free space: air in front of skin


@dataclass(frozen=True)
class Air:
    """Canonical points around the head model that at least one frame shows in front of skin."""

    points: Float32[Array, "N 3"]
    level: Float32[Array, " N"]
    """Smallest signed distance of each point, model units."""

    @classmethod
    def around(cls, dataset: FaceDataset) -> Air | None:
        """Sample the air around a dataset's subject; None where no frame has labelled skin."""
        rng = np.random.default_rng(0)
        points = rng.uniform(-BOUNDING_RADIUS, BOUNDING_RADIUS, (CANDIDATES, 3)).astype(np.float32)
        points = points[np.linalg.norm(points, axis=1) < BOUNDING_RADIUS]
        subject = HeadSurface.from_head(dataset.head)
        nearest = query_surface(subject, points)
        shell = (nearest.distance > MIN_AIR_DISTANCE) & (nearest.distance < MAX_AIR_DISTANCE)
        corners = subject.faces[nearest.faces[shell]]
        weights = np.einsum("nc,ncj->nj", nearest.barycentric[shell], subject.weights[corners, 1:])
        points = points[shell]
        distance = nearest.distance[shell]
        air = _in_front_of_skin(dataset, points, weights)
        if not air.any():
            return None
        return cls(points[air], np.minimum(REQUIRED_SHARE * distance[air], MAX_REQUIRED_DISTANCE))

    def add_to(
        self, batch: Batch, dataset: FaceDataset, count: int, rng: np.random.Generator
    ) -> Batch:
        """Add `count` random points of air to a batch whose frame has labels."""
        limit = skin_limit(dataset, batch.frame)
        if limit is None:
            return batch
        indices = rng.integers(len(self.points), size=count)
        air = np.column_stack([self.points[indices], self.level[indices]])
        return batch._replace(air=torch.from_numpy(air), limit=torch.from_numpy(limit))


def skin_limit(dataset: FaceDataset, frame: int) -> Float32[Array, "S S"] | None:
    """Depth of each pixel of a frame up to which there is only air, model units.

    The depth is 0 where it is unknown. The result is None where the frame has no labels.
    """
    track = dataset.track
    semantic = dataset.observation(frame).semantic
    if semantic is None:
        return None
    codes = (track.expression[frame], track.pose[frame])
    depth = head_depth(dataset.head, *codes, track.cameras[frame], dataset.size)
    nearest = nearest_around(depth)
    known = is_skin(semantic) & (nearest < EMPTY_DEPTH)
    return np.where(known, nearest - MIN_AIR_DISTANCE, 0.0).astype(np.float32)


def _in_front_of_skin(
    dataset: FaceDataset, points: Float32[Array, "N 3"], weights: Float32[Array, "N B"]
) -> Bool[Array, " N"]:
    """Which canonical points at least one of `FRAMES` frames shows in front of skin.

    Args:
        weights: skinning weights of the points for the head model's bones.
    """
    air = np.zeros(len(points), dtype=np.bool_)
    size = (dataset.size, dataset.size)
    for frame in evenly_spaced(FRAMES, len(dataset)):
        limit = skin_limit(dataset, frame)
        if limit is None:
            continue
        deformed = torch.from_numpy(_deform(dataset, frame, points, weights))
        no_pixels = torch.zeros((0, 2), dtype=torch.long)
        view = RayBundle.of(dataset.track.cameras[frame], size, no_pixels)
        air |= _before(deformed, view, torch.from_numpy(limit)).numpy()
    return air


def _deform(
    dataset: FaceDataset,
    frame: int,
    points: Float32[Array, "N 3"],
    weights: Float32[Array, "N B"],
) -> Float32[Array, "N 3"]:
    """Canonical points in the pose of a frame, moved by the head model's bones."""
    track = dataset.track
    posed = _skinning(dataset.head, track.expression[frame], track.pose[frame], weights)
    rest = _skinning(
        dataset.head, np.zeros_like(track.expression[frame]), canonical_pose(), weights
    )
    homogeneous = np.column_stack([points, np.ones(len(points), dtype=np.float32)])
    moved = posed @ np.linalg.solve(rest, homogeneous[:, :, None])
    return np.asarray(moved[:, :3, 0], dtype=np.float32)


def _skinning(
    head: HeadModel,
    expression: Float32[Array, " E"],
    pose: Float32[Array, "15"],
    weights: Float32[Array, "N B"],
) -> Float32[Array, "N 4 4"]:
    """Transforms from the rest pose of points with these skinning weights, model units."""
    joints = UNITS_PER_METRE * head.joints(expression)
    return np.asarray(np.einsum("nj,jab->nab", weights, bone_transforms(pose, joints)), np.float32)


def _before(deformed: Tensor, view: RayBundle, limit: Tensor) -> Tensor:
    """Which deformed points `[K, 3]` are nearer to the camera than their pixel's limit, `[K]`."""
    pixels = project_points(deformed, view, limit.shape)
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
    """Binary cross-entropy of occupancy at the points in front of skin, divided by all K.

    Zero for backward variants: they do not map canonical points into the frame.

    Args:
        air: `[K, 4]` canonical points and the least signed distance of each.
        limit: `[S, S]` depth up to which there is only air, from `skin_limit`.
    """
    if not isinstance(model, ForwardAvatarModel):
        return air.new_zeros(())
    with torch.no_grad():
        before = _before(model.deform(air[:, :3], frame.expression, frame.pose), view, limit)
    points = air[before, :3]
    level = air[before, 3]
    sdf: Tensor = model.geometry(points, model.geometry_code(frame)).sdf
    return softplus(sharpness * (level - sdf)).sum() / (sharpness * max(1, len(air)))
