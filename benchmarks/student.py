"""The student beside the full texture network: how like it is and how big, as Markdown.

    python benchmarks/student.py AVATAR [AVATAR ...]

AVATAR is a folder with a student, or the word `sample`; give several, exported with other `--student` widths or face
budgets, to compare them in one run. Likeness is that of images (256², inside the head) to those of the full network
asked at every pixel, on frames of the bundled motion, of which the student was taught two thirds; what it reaches on
frames it was never taught stands in the folder's manifest and is printed, too. How fast it is, imavatar-bench tells.
"""

from __future__ import annotations

from collections.abc import Iterator

import click
import numpy as np

from imavatar_deploy.avatar_io import AvatarFolder, open_avatar
from imavatar_deploy.fidelity.image_metrics import psnr
from imavatar_deploy.runtime import Player
from imavatar_deploy.student import FILE, read_student
from imavatar_deploy.tracks import read_track

SEEN = slice(10, None, 50)
"""Five frames of the bundled motion."""

SIZE = 256


def images(avatar: str, shading: str) -> list[np.ndarray]:
    with Player(avatar, size=SIZE, shading=shading) as player:
        return [
            player.render(frame.expression, frame.pose)
            for frame in list(read_track("talk").frames())[SEEN]
        ]


def likeness(pictures: list[np.ndarray], truth: list[np.ndarray]) -> tuple[float, float]:
    """Median and lowest PSNR, dB."""
    each = [
        psnr(a[..., :3] / 255.0, b[..., :3] / 255.0, b[..., 3] == 255)
        for a, b in zip(pictures, truth, strict=True)
    ]
    return float(np.median(each)), min(each)


def never_taught(folder: AvatarFolder) -> str:
    """What the export measured at the vertices."""
    for row in folder.manifest.get("fidelity", {}).get("parity", []):
        if "frames" in row:
            return ", ".join(
                f"{name} {frames['psnr']:.1f}" for name, frames in row["frames"].items()
            )
    return "not told"


def quality(avatars: tuple[str, ...]) -> Iterator[str]:
    yield "| avatar | faces | width | file | never taught, dB at vertices | student, dB | per vertex, dB |"
    yield "|---|---|---|---|---|---|---|"
    for avatar in avatars:
        folder = open_avatar(avatar)
        truth = images(avatar, "pixel")
        like = [
            "{:.1f} (lowest {:.1f})".format(*likeness(images(avatar, name), truth))
            for name in ("student", "vertex")
        ]
        size = folder.file(FILE).stat().st_size / 1e6
        width = read_student(folder).width
        faces = f"{len(folder.avatar.faces):,}"
        yield f"| {avatar} | {faces} | 2 x {width} | {size:.2f} MB | {never_taught(folder)} | {like[0]} | {like[1]} |"


@click.command()
@click.argument("avatars", nargs=-1, required=True)
def main(avatars: tuple[str, ...]) -> None:
    for line in quality(avatars):
        click.echo(line)


if __name__ == "__main__":
    main()
