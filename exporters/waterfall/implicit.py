"""Implicit: the paper's own renders of the proof frames, which everything else is held against."""

from __future__ import annotations

import numpy as np
import torch

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
from imavatar_deploy.rendering.posing import pose_plainly

from ..proof_poses import CORNERS, proof_poses
from .mouth import mouth_centre, mouth_region

TALK = 2
"""Frames of the bundled motion, where there is one, beside rest and the corners."""


def implicit_reference(source: ImplicitAvatar, avatar: Avatar, size: int, progress: Progress) -> Reference:
    """Rest, corners and frames of motion by the implicit renderer, from the front; `avatar` only tells where that is.

    The tracer extracts a surface of its own, so that a spoilt bake cannot spoil what it is held against.
    """
    poses = proof_poses(source.edition)
    talk = np.linspace(len(CORNERS), len(poses.pose) - 1, TALK).astype(int)
    rows = [*range(len(CORNERS)), *talk[talk >= len(CORNERS)]]
    expression, pose = poses.expression[rows], poses.pose[rows]
    neutral = np.zeros(EXPRESSION_SIZE, dtype=np.float32), np.zeros(POSE_SIZE, dtype=np.float32)
    camera = front_camera(avatar, pose_plainly(avatar, *neutral).vertices)
    centre, tracer, pictures, mouths = mouth_centre(source.head), RasterTracer(), [], []
    device = source.canonical_pose.device
    with progress("implicit renders", len(rows)) as advance:
        for frame in zip(torch.from_numpy(expression).to(device), torch.from_numpy(pose).to(device), strict=True):
            seen = render(source, Frame(*frame), camera, (size, size), tracer, background=BACKGROUND)
            pictures.append(shown(seen.rgb, seen.normal, seen.mask))
            mouths.append(mouth_region(seen.canonical, centre))
            advance(1)
    return Reference.of(expression, pose, camera, pictures, mouths)
