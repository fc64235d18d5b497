"""Implicit reference: renders of the reference poses by the paper's implicit renderer.

Also the mouth region, a ball in canonical space in which fidelity is measured separately, because
the opening jaw tears the lips apart there.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from imavatar_deploy.arrays import Array, Bool, Float32
from imavatar_deploy.avatar import Avatar, canonical_pose
from imavatar_deploy.conventions import EXPRESSION_SIZE, JAW, UNITS_PER_METRE
from imavatar_deploy.fidelity.reference_frames import ReferenceFrames
from imavatar_deploy.fidelity.stage_metrics import BACKGROUND, FrameImages, frame_images
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.render import Rendering, render
from imavatar_deploy.model.surface.mesh import Mesh
from imavatar_deploy.model.tracing import RasterTracer
from imavatar_deploy.progress import Progress
from imavatar_deploy.rendering.posing import resting_camera

from ..bust import NO_BOUNDS, Bounds, clipped
from ..mesh_cleanup import without_strays
from ..settings import ExportSettings
from .reference_poses import CORNER_NAMES, CORNERS, reference_poses

JAW_OPENING = 0.2
"""Radians by which the jaw is opened to locate the lips."""

LIP_STRETCH = 0.4
"""Edges that stretch by at least this share of the largest stretch lie between the lips.

On OpenHead these edges have the extent of the lips.
"""

RADIUS = 0.2
"""Radius of the mouth region, model units (50 mm): half a mouth and the lips around it."""

TALK_FRAMES = 2
"""Frames of the bundled motion, where there is one, besides rest and the corners."""


def mouth_centre(head: HeadModel) -> Float32[Array, "3"]:
    """Point between the lips, canonical space, model units.

    It is the median of the midpoints of the edges that the opening jaw stretches most.
    """
    neutral = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
    closed = canonical_pose()
    opened = closed.copy()
    opened[JAW.start] += JAW_OPENING
    points = UNITS_PER_METRE * head.vertices(neutral, closed)
    opened_points = UNITS_PER_METRE * head.vertices(neutral, opened)
    displacement = np.linalg.norm(opened_points - points, axis=1)
    edges = np.concatenate([head.faces[:, [0, 1]], head.faces[:, [1, 2]], head.faces[:, [2, 0]]])
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    difference = np.abs(displacement[edges[:, 0]] - displacement[edges[:, 1]])
    stretch = difference / np.maximum(length, 1e-9)
    midpoints = points[edges[stretch > LIP_STRETCH * stretch.max()]].mean(axis=1)
    return np.asarray(np.median(midpoints, axis=0), dtype=np.float32)


def mouth_region(
    canonical: Float32[Array, "H W 3"], centre: Float32[Array, "3"]
) -> Bool[Array, "H W"]:
    """Pixels whose canonical point lies in the mouth region."""
    return np.asarray(np.linalg.norm(canonical - centre, axis=-1) < RADIUS)


class ImplicitRenderer:
    """Renders the reference frames of an export with the implicit renderer.

    The tracer extracts a surface of its own, so that a damaged bake does not affect its reference.
    Stray parts that the export leaves out are left out of these renders, too, and the bust ends
    where the export's does. Unseen surface appears as the networks make it: all pixels count.

    Args:
        source: the implicit avatar.
        settings: of the export.
        bounds: where the export cuts the bust.
    """

    def __init__(
        self, source: ImplicitAvatar, settings: ExportSettings, bounds: Bounds = NO_BOUNDS
    ) -> None:
        self._source = source
        self._settings = settings
        strays = not settings.drops_strays
        self._tracer = RasterTracer(
            keep=partial(_as_exported, head=source.head, bounds=bounds, keep_strays=strays)
        )

    def reference(self, avatar: Avatar, progress: Progress) -> ReferenceFrames:
        """Render rest, corners and frames of motion from the front.

        Args:
            avatar: the baked avatar, which the camera frames.
            progress: shows how far the work is.
        """
        size = self._settings.proof.size
        rows = _rows(self._source.edition)
        poses = reference_poses(self._source.edition)
        camera = resting_camera(avatar)
        views = ReferenceFrames.blank(poses.expression[rows], poses.pose[rows], camera, size)
        centre = mouth_centre(self._source.head)
        renderings = self._renderings(views, progress)
        images = [_images(rendering) for rendering in renderings]
        mouths = [mouth_region(rendering.canonical, centre) for rendering in renderings]
        return ReferenceFrames.of(views.expression, views.pose, camera, images, mouths)

    def pictures(self, views: ReferenceFrames, progress: Progress) -> list[FrameImages]:
        """Render the frames of `views`, at its size."""
        return [_images(rendering) for rendering in self._renderings(views, progress)]

    def _renderings(self, views: ReferenceFrames, progress: Progress) -> list[Rendering]:
        device = self._source.canonical_pose.device
        size = (views.size, views.size)
        renderings = []
        with progress("implicit renders", len(views.pose)) as advance:
            for *row, camera in zip(views.expression, views.pose, views.cameras, strict=True):
                frame = Frame(*(torch.from_numpy(values).to(device) for values in row))
                renderings.append(
                    render(
                        self._source,
                        frame,
                        camera,
                        size,
                        self._tracer,
                        background=BACKGROUND,
                    )
                )
                advance(1)
        return renderings


def _as_exported(mesh: Mesh, head: HeadModel, bounds: Bounds, keep_strays: bool) -> Mesh:
    """The part of a canonical surface that an export keeps."""
    kept = clipped(mesh, bounds)
    return kept if keep_strays else without_strays(kept, head)


def frame_names(edition: str) -> list[str]:
    """Descriptions of the reference frames."""
    talk = [f"talking {number}" for number in range(1, TALK_FRAMES + 1)]
    return [*CORNER_NAMES, *talk][: len(_rows(edition))]


def _rows(edition: str) -> list[int]:
    """Rows of the reference poses that are rendered."""
    corners, count = len(CORNERS), len(reference_poses(edition).pose)
    talk = (
        np.linspace(corners, count - 1, TALK_FRAMES).astype(int).tolist() if count > corners else []
    )
    return [*range(corners), *talk]


def _images(rendering: Rendering) -> FrameImages:
    return frame_images(rendering.rgb, rendering.normal, rendering.mask)
