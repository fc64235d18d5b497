"""The student beside the full texture network: fidelity and size, as Markdown.

    python benchmarks/student.py AVATAR [AVATAR ...]

AVATAR is a folder with a student, or the word `sample`. Several of them, exported with other
`--student` widths or face budgets, are compared in one table. Fidelity is the PSNR of images (256²,
inside the head) against those of the full network at every pixel, on frames of the bundled motion.
The student's training set includes two thirds of that motion; its fidelity on validation samples is
read from the folder's manifest. imavatar-bench measures its speed.
"""

from __future__ import annotations

from collections.abc import Iterator

import click
import numpy as np

from imavatar_deploy.avatar_io import AvatarFolder, open_avatar
from imavatar_deploy.fidelity.image_metrics import psnr
from imavatar_deploy.runtime import Player
from imavatar_deploy.student import STUDENT_FILE, read_student
from imavatar_deploy.tracks import read_track

FRAMES = slice(10, None, 50)
"""Five frames of the bundled motion."""

SIZE = 256
"""Pixels a side of the images."""


def images(avatar: str, shading: str) -> list[np.ndarray]:
    with Player(avatar, size=SIZE, shading=shading, antialias="none") as player:
        return [
            player.render(frame.expression, frame.pose)
            for frame in list(read_track("talk").frames())[FRAMES]
        ]


def fidelity(frames: list[np.ndarray], truth: list[np.ndarray]) -> tuple[float, float]:
    """Median and lowest PSNR, dB."""
    values = [
        psnr(a[..., :3] / 255.0, b[..., :3] / 255.0, b[..., 3] == 255)
        for a, b in zip(frames, truth, strict=True)
    ]
    return float(np.median(values)), min(values)


def validation_fidelity(folder: AvatarFolder) -> str:
    """PSNR at the vertices on validation samples, as the export measured it."""
    for row in folder.manifest.get("fidelity", {}).get("parity", []):
        if "frames" in row:
            return ", ".join(
                f"{name} {frames['psnr']:.1f}" for name, frames in row["frames"].items()
            )
    return "unknown"


def quality(avatars: tuple[str, ...]) -> Iterator[str]:
    yield (
        "| avatar | faces | width | file | validation, dB at vertices | student, dB "
        "| per vertex, dB |"
    )
    yield "|---|---|---|---|---|---|---|"
    for avatar in avatars:
        folder = open_avatar(avatar)
        truth = images(avatar, "pixel")
        student, vertex = (
            "{:.1f} (lowest {:.1f})".format(*fidelity(images(avatar, name), truth))
            for name in ("student", "vertex")
        )
        size = folder.file(STUDENT_FILE).stat().st_size / 1e6
        width = read_student(folder).width
        faces = f"{len(folder.avatar.faces):,}"
        yield (
            f"| {avatar} | {faces} | 2 x {width} | {size:.2f} MB | {validation_fidelity(folder)} "
            f"| {student} | {vertex} |"
        )


@click.command()
@click.argument("avatars", nargs=-1, required=True)
def main(avatars: tuple[str, ...]) -> None:
    for line in quality(avatars):
        click.echo(line)


if __name__ == "__main__":
    main()
