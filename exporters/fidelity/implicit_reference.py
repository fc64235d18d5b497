"""Implicit: the paper's own renders of the proof frames, which everything else is held against."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar, canonical_pose
from imavatar_deploy.camera import front_camera
from imavatar_deploy.conventions import EXPRESSION_SIZE, JAW, POSE_SIZE, UNITS_PER_METRE
from imavatar_deploy.fidelity.reference_frames import ReferenceFrames
from imavatar_deploy.fidelity.stage_metrics import BACKGROUND, FrameImages, frame_images
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.render import Rendering, render
from imavatar_deploy.model.tracing import RasterTracer
from imavatar_deploy.progress import Progress
from imavatar_deploy.rendering.posing import pose_plainly

from ..mesh_cleanup import without_strays
from ..settings import ExportSettings
from .reference_poses import CORNER_NAMES, CORNERS, proof_poses

# Mouth: the region that is judged on its own, a ball in canonical space where the opening jaw tears lips apart.


Float = NDArray[np.float32]

OPENING = 0.2
"""Radians by which the jaw opens further."""

TORN = 0.4
"""Share of the largest stretch that tells an edge between the lips: on OpenHead these have the lips' own extent."""

RADIUS = 0.2
"""Model units (50 mm): half a mouth and the lips around it."""


def mouth_centre(head: HeadModel) -> Float:
    """[3] between the lips, canonical space, model units: the middle of the edges that the jaw stretches most."""
    neutral, closed = np.zeros(EXPRESSION_SIZE, dtype=np.float32), canonical_pose()
    opened = closed.copy()
    opened[JAW.start] += OPENING
    points = UNITS_PER_METRE * head.vertices(neutral, closed)
    moved = np.linalg.norm(UNITS_PER_METRE * head.vertices(neutral, opened) - points, axis=1)
    edges = np.concatenate([head.faces[:, [0, 1]], head.faces[:, [1, 2]], head.faces[:, [2, 0]]])
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    stretch = np.abs(moved[edges[:, 0]] - moved[edges[:, 1]]) / np.maximum(length, 1e-9)
    torn = points[edges[stretch > TORN * stretch.max()]].mean(axis=1)
    return np.asarray(np.median(torn, axis=0), dtype=np.float32)


def mouth_region(canonical: Float, centre: Float) -> NDArray[np.bool_]:
    """[H, W] the pixels whose canonical point `[H, W, 3]` lies at the mouth."""
    return np.asarray(np.linalg.norm(canonical - centre, axis=-1) < RADIUS)


TALK = 2
"""Frames of the bundled motion, where there is one, beside rest and the corners."""


class ImplicitRenderer:
    """The implicit renderer, for the frames and the camera by which an export is judged.

    The tracer extracts a surface of its own, so that a spoilt bake cannot spoil what it is compared
    with. Loose pieces that the export leaves out are left out of these renders, too.
    """

    def __init__(self, source: ImplicitAvatar, settings: ExportSettings) -> None:
        self._source, self._settings = source, settings
        keep = partial(without_strays, head=source.head) if settings.drops_strays else None
        self._tracer = RasterTracer(keep=keep)

    def reference(self, avatar: Avatar, progress: Progress) -> ReferenceFrames:
        """Rest, corners and frames of motion, from the front.

        Args:
            avatar: the baked avatar, which the camera is placed by.
        """
        size, rows = self._settings.proof.size, _rows(self._source.edition)
        poses = proof_poses(self._source.edition)
        neutral = (
            np.zeros(EXPRESSION_SIZE, dtype=np.float32),
            np.zeros(POSE_SIZE, dtype=np.float32),
        )
        camera = front_camera(avatar, pose_plainly(avatar, *neutral).vertices)
        views = ReferenceFrames.blank(poses.expression[rows], poses.pose[rows], camera, size)
        centre = mouth_centre(self._source.head)
        seen = self._renderings(views, progress)
        pictures = [_picture(each) for each in seen]
        mouths = [mouth_region(each.canonical, centre) for each in seen]
        return ReferenceFrames.of(views.expression, views.pose, camera, pictures, mouths)

    def pictures(self, views: ReferenceFrames, progress: Progress) -> list[FrameImages]:
        """The frames of `views` in its size."""
        return [_picture(each) for each in self._renderings(views, progress)]

    def _renderings(self, views: ReferenceFrames, progress: Progress) -> list[Rendering]:
        device, seen = self._source.canonical_pose.device, []
        size, camera = (views.size, views.size), views.camera
        with progress("implicit renders", len(views.pose)) as advance:
            for row in zip(views.expression, views.pose, strict=True):
                frame = Frame(*(torch.from_numpy(values).to(device) for values in row))
                seen.append(
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
        return seen


def frame_names(edition: str) -> list[str]:
    """What each frame of a reference shows, in words."""
    talk = [f"talking {number}" for number in range(1, TALK + 1)]
    return [*CORNER_NAMES, *talk][: len(_rows(edition))]


def _rows(edition: str) -> list[int]:
    """The proof poses that are rendered."""
    corners, count = len(CORNERS), len(proof_poses(edition).pose)
    talk = np.linspace(corners, count - 1, TALK).astype(int).tolist() if count > corners else []
    return [*range(corners), *talk]


def _picture(seen: Rendering) -> FrameImages:
    return frame_images(seen.rgb, seen.normal, seen.mask)
