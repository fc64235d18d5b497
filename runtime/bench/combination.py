"""Combination: one way to play an avatar that is to be timed, and all those that the options name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.camera import Camera, front_camera
from imavatar_deploy.conventions import POSE_SIZE
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.student import has_student, read_student

SIDE_BY_SIDE, IN_TURN = "side-by-side", "in-turn"

TOGETHER = {
    SIDE_BY_SIDE: "each in a thread of its own, the cores split among them",
    IN_TURN: "one frame of each after the other, all with every core",
}
"""The table of `--together`. Two to four samples on two cores drew 1.3 to 1.5 times as many frames side by side:
a frame drawn by one core wakes no other thread and waits for none."""


@dataclass(frozen=True)
class Combination:
    """One row of the table."""

    avatar: str
    size: tuple[int, int]
    """Width and height."""
    shading: str
    backend: str
    threads: int
    """Cores, for all avatars together."""
    avatars: int = 1
    """How many of this avatar play at the same time."""
    together: str = SIDE_BY_SIDE

    @property
    def lanes(self) -> int:
        """How many of them draw at once."""
        return self.avatars if self.together == SIDE_BY_SIDE else 1

    @property
    def threads_each(self) -> int:
        """What each of them gets of the cores."""
        return max(1, self.threads // self.lanes)


@dataclass(frozen=True)
class BenchAxes:
    """What each option names, one or several."""

    avatars: Sequence[str]
    sizes: Sequence[tuple[int, int]]
    shadings: Sequence[str]
    backends: Sequence[str]
    threads: Sequence[int]
    counts: Sequence[int] = (1,)
    together: Sequence[str] = (SIDE_BY_SIDE,)


def combinations(choices: BenchAxes) -> list[Combination]:
    """All of them; an avatar that is alone is timed in one way only."""
    rows = product(
        choices.avatars,
        choices.sizes,
        choices.shadings,
        choices.backends,
        choices.threads,
        choices.counts,
        choices.together,
    )
    found = (Combination(*row) for row in rows)
    return [row for row in found if row.avatars > 1 or row.together == choices.together[0]]


# Subject: what the table tells of an avatar: its level of detail, its student, the checkpoint it was baked from.


@dataclass(frozen=True)
class BenchAvatar:
    """An avatar folder in a few figures."""

    vertices: int
    faces: int
    student_width: int | None
    """Units in each of its student's two layers; None without a student."""
    checkpoint_sha256: str
    """Of the checkpoint it was baked from; empty where the folder does not tell."""
    camera: Camera
    """What a Player looks through at a square image."""


def subject_of(avatar: str) -> BenchAvatar:
    """Read an avatar folder.

    Raises:
        InputError: the folder cannot be read or does not fit together.
    """
    folder = open_avatar(avatar)
    baked = folder.avatar
    neutral = pose_plainly(
        baked, np.zeros(baked.expression_size, np.float32), np.zeros(POSE_SIZE, np.float32)
    )
    return BenchAvatar(
        vertices=baked.vertex_count,
        faces=len(baked.faces),
        student_width=read_student(folder).width if has_student(folder) else None,
        checkpoint_sha256=str(folder.manifest.get("source", {}).get("sha256", "")),
        camera=front_camera(baked, neutral.vertices),
    )
