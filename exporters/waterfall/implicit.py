"""Implicit: the paper's own renders of the proof frames, which everything else is held against."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from imavatar_deploy.animation.animate import pose_plainly
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.framing import front_camera
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.render import render
from imavatar_deploy.model.tracing import RasterTracer
from imavatar_deploy.progress import Progress
from imavatar_deploy.proof.picture import BACKGROUND, shown
from imavatar_deploy.proof.reference import Reference

from ..proof_poses import CORNERS, proof_poses
from ..settings import Settings
from ..stray_parts import without_strays
from .mouth import mouth_centre, mouth_region

TALK = 2
"""Frames of the bundled motion, where there is one, beside rest and the corners."""


def implicit_reference(
    source: ImplicitAvatar,
    avatar: Avatar,
    settings: Settings,
    progress: Progress,
) -> Reference:
    """Rest, corners and frames of motion by the implicit renderer, from the front.

    The tracer extracts a surface of its own, so that a spoilt bake cannot spoil what it is compared
    with. Loose pieces that the export leaves out are left out of these renders, too.

    Args:
        avatar: the baked avatar, which the camera is placed by.
    """
    size = settings.proof.size
    poses = proof_poses(source.edition)
    talk = np.linspace(len(CORNERS), len(poses.pose) - 1, TALK).astype(int)
    rows = [*range(len(CORNERS)), *talk[talk >= len(CORNERS)]]
    expression, pose = poses.expression[rows], poses.pose[rows]
    neutral = np.zeros(EXPRESSION_SIZE, dtype=np.float32), np.zeros(POSE_SIZE, dtype=np.float32)
    camera = front_camera(avatar, pose_plainly(avatar, *neutral).vertices)
    keep = partial(without_strays, head=source.head) if settings.drops_strays else None
    centre, tracer = mouth_centre(source.head), RasterTracer(keep=keep)
    pictures, mouths = [], []
    device = source.canonical_pose.device
    with progress("implicit renders", len(rows)) as advance:
        for frame in zip(torch.from_numpy(expression).to(device), torch.from_numpy(pose).to(device), strict=True):
            seen = render(source, Frame(*frame), camera, (size, size), tracer, background=BACKGROUND)
            pictures.append(shown(seen.rgb, seen.normal, seen.mask))
            mouths.append(mouth_region(seen.canonical, centre))
            advance(1)
    return Reference.of(expression, pose, camera, pictures, mouths)
