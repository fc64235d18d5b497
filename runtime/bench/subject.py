"""Subject: what the table tells of an avatar: its level of detail, its student, the checkpoint it was baked from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import POSE_SIZE
from imavatar_deploy.framing import front_camera
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.student import has_student, read_student


@dataclass(frozen=True)
class Subject:
    """An avatar folder in a few figures."""

    vertices: int
    faces: int
    student_width: int | None
    """Units in each of its student's two layers; None without a student."""
    checkpoint_sha256: str
    """Of the checkpoint it was baked from; empty where the folder does not tell."""
    camera: Camera
    """What a Player looks through at a square image."""


def subject_of(avatar: str) -> Subject:
    """Read an avatar folder.

    Raises:
        InputError: the folder cannot be read or does not fit together.
    """
    folder = open_avatar(avatar)
    baked = folder.avatar
    neutral = pose_plainly(baked, np.zeros(baked.expression_size, np.float32), np.zeros(POSE_SIZE, np.float32))
    return Subject(
        vertices=baked.vertex_count,
        faces=len(baked.faces),
        student_width=read_student(folder).width if has_student(folder) else None,
        checkpoint_sha256=str(folder.manifest.get("source", {}).get("sha256", "")),
        camera=front_camera(baked, neutral.vertices),
    )
