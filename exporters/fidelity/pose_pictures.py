"""PosePictures: the named poses of the format `report`, drawn by every stage."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.camera import orbited
from imavatar_deploy.fidelity.reference_frames import ReferenceFrames
from imavatar_deploy.fidelity.stage_metrics import FrameImages
from imavatar_deploy.rendering.posing import resting_camera

from ..formats.format import ExportInput
from ..formats.report.page import PoseImages
from ..formats.report.poses import POSES, face_of
from .part_pixels import part_pixels
from .viewed_frames import ViewedFrames

PICTURE_SIZE = 256
"""Pixels a side of the pictures of named poses, unless the reference frames are larger."""


class PosePictures:
    """Collects the pictures of the named poses while the stages of an export run.

    Args:
        subject: the avatar to export; its settings name the poses.
        avatar: the baked avatar as it is stored, which the camera frames.
    """

    def __init__(self, subject: ExportInput, avatar: Avatar) -> None:
        self._subject = subject
        self._avatar = avatar
        self._images: dict[str, list[FrameImages]] = {}
        self._unavailable: list[str] = []
        names, faces, views = [], [], []
        camera = resting_camera(avatar)
        poses = [pose for name in subject.settings.report.poses for pose in POSES[name]]
        for pose in poses:
            face = face_of(pose, subject.source.expression_names, subject.settings.arkit_map)
            if face is None:
                self._unavailable.append(pose.title)
                continue
            names.append(pose.title)
            faces.append(face)
            views.append(orbited(camera, yaw=np.radians(pose.yaw), pitch=0.0, zoom=1.0))
        self._names = names
        self.frames: ViewedFrames | None = None
        """The poses to draw; None if none is available."""
        if faces:
            size = max(PICTURE_SIZE, subject.settings.proof.size)
            expressions, joints = (np.stack(rows) for rows in zip(*faces, strict=True))
            self.frames = ViewedFrames.from_views(expressions, joints, tuple(views), size)

    def draw(self, stage: str, pictures: Callable[[ReferenceFrames], list[FrameImages]]) -> None:
        """Draw the poses by a stage, from the files that are in the folder at this moment.

        Args:
            stage: a column of the page.
            pictures: draws frames.
        """
        if self.frames is not None:
            self._images[stage] = pictures(self.frames)

    def gallery(self) -> PoseImages:
        """The pictures that were drawn."""
        left_out = (
            part_pixels(self._avatar, self._subject.network_bake, self.frames)
            if self.frames is not None
            else []
        )
        reason = (
            f"the expressions of {self._subject.source.edition} have no names; a map from ARKit's "
            "shapes (--map FILE) gives them some"
        )
        unavailable = dict.fromkeys(self._unavailable, reason)
        return PoseImages(self._names, self._images, left_out, unavailable)
