"""Combination: one way to play an avatar, a row of the bench; the figures of an avatar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.camera import Camera, front_camera
from imavatar_deploy.conventions import POSE_SIZE
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.rendering.renderer import EDGES
from imavatar_deploy.student import has_student, read_student

SIDE_BY_SIDE = "side-by-side"
IN_TURN = "in-turn"

TOGETHER = {
    SIDE_BY_SIDE: "each in a thread of its own, the cores split among them",
    IN_TURN: "one frame of each after the other, all with every core",
}
"""The table of `--together`. Two to four samples on two cores drew 1.3 to 1.5 times as many frames
side by side: a frame drawn by one core wakes no other thread and waits for none."""


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
    """Number of players of this avatar at the same time."""
    together: str = SIDE_BY_SIDE
    antialias: str = EDGES

    @property
    def lanes(self) -> int:
        """Number of players that draw at once."""
        return self.avatars if self.together == SIDE_BY_SIDE else 1

    @property
    def threads_each(self) -> int:
        """Cores of each player."""
        return max(1, self.threads // self.lanes)


@dataclass(frozen=True)
class BenchAxes:
    """The values of each option."""

    avatars: Sequence[str]
    sizes: Sequence[tuple[int, int]]
    shadings: Sequence[str]
    backends: Sequence[str]
    threads: Sequence[int]
    counts: Sequence[int] = (1,)
    together: Sequence[str] = (SIDE_BY_SIDE,)
    antialiasing: Sequence[str] = (EDGES,)


def combinations(axes: BenchAxes) -> list[Combination]:
    """All combinations; a single player has one row, whatever the values of `together`."""
    rows = product(
        axes.avatars,
        axes.sizes,
        axes.shadings,
        axes.backends,
        axes.threads,
        axes.counts,
        axes.together,
        axes.antialiasing,
    )
    every = (Combination(*row) for row in rows)
    return [row for row in every if row.avatars > 1 or row.together == axes.together[0]]


@dataclass(frozen=True)
class BenchAvatar:
    """Figures of an avatar folder for the table."""

    vertices: int
    faces: int
    student_width: int | None
    """Units in each of its student's two layers; None without a student."""
    checkpoint_sha256: str
    """Hash of the checkpoint that it was baked from; empty where the folder does not record it."""
    camera: Camera
    """A Player's camera for square images."""


def read_bench_avatar(avatar: str) -> BenchAvatar:
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
