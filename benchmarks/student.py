"""The student beside the full texture network: how like it is, how big, and how fast, as Markdown.

    python benchmarks/student.py AVATAR [AVATAR ...] [--frames 60] [--threads N]

AVATAR is a folder with a student, or the word `sample`; give several, exported with other `--student` widths or face
budgets, to compare them in one run. Likeness is that of images (256², inside the head) to those of the full network
asked at every pixel, on frames of the bundled motion, of which the student was taught two thirds; what it reaches on
frames it was never taught stands in the folder's manifest and is printed, too. Times are parameters in to RGBA out.
"""

from __future__ import annotations

from collections.abc import Iterator

import click
import numpy as np

from imavatar_deploy.avatar_io import AvatarFolder, open_avatar
from imavatar_deploy.image_quality import psnr
from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.player import STAGES
from imavatar_deploy.runtime.timing import INCLUDED, machine, summarise, time_frames
from imavatar_deploy.student import FILE, read_student
from imavatar_deploy.tracks import read_track

SEEN = slice(10, None, 50)
"""Five frames of the bundled motion."""

SIZE = 256
TIMED = (256, 512)
SHADINGS = ("student", "vertex", "pixel")
PIXEL_SHARE = 30
"""A frame of the full network at every pixel takes so much longer that it is timed on this much fewer of them."""


def images(avatar: str, shading: str) -> list[np.ndarray]:
    with Player(avatar, size=SIZE, shading=shading) as player:
        return [player.render(frame.expression, frame.pose) for frame in list(read_track("talk").frames())[SEEN]]


def likeness(pictures: list[np.ndarray], truth: list[np.ndarray]) -> tuple[float, float]:
    """Median and lowest PSNR, dB."""
    each = [
        psnr(a[..., :3] / 255.0, b[..., :3] / 255.0, b[..., 3] == 255) for a, b in zip(pictures, truth, strict=True)
    ]
    return float(np.median(each)), min(each)


def never_taught(folder: AvatarFolder) -> str:
    """What the export measured at the vertices."""
    for row in folder.manifest.get("fidelity", {}).get("parity", []):
        if "frames" in row:
            return ", ".join(f"{name} {frames['psnr']:.1f}" for name, frames in row["frames"].items())
    return "not told"


def quality(avatars: tuple[str, ...]) -> Iterator[str]:
    yield "| avatar | faces | width | file | never taught, dB at vertices | student, dB | per vertex, dB |"
    yield "|---|---|---|---|---|---|---|"
    for avatar in avatars:
        folder = open_avatar(avatar)
        truth = images(avatar, "pixel")
        like = [
            "{:.1f} (lowest {:.1f})".format(*likeness(images(avatar, name), truth)) for name in ("student", "vertex")
        ]
        size = folder.file(FILE).stat().st_size / 1e6
        width = read_student(folder).width
        faces = f"{len(folder.avatar.faces):,}"
        yield f"| {avatar} | {faces} | 2 x {width} | {size:.2f} MB | {never_taught(folder)} | {like[0]} | {like[1]} |"


def speed(avatars: tuple[str, ...], count: int, threads: int | None) -> Iterator[str]:
    yield f"| avatar | size | shading | {' | '.join(STAGES)} | total ms, p50 | frames/s |"
    yield "|---|---|---|" + "---|" * (len(STAGES) + 2)
    frames = list(read_track("talk").frames())
    for avatar in avatars:
        for size in TIMED:
            for shading in SHADINGS:
                timed = max(2, count // PIXEL_SHARE) if shading == "pixel" else count
                with Player(avatar, size=size, shading=shading, threads=threads) as player:
                    laps = summarise(time_frames(player, frames, timed))
                stages = " | ".join(f"{laps[stage]['p50']:.2f}" for stage in STAGES)
                total = laps["total"]["p50"]
                yield f"| {avatar} | {size}² | {shading} | {stages} | {total:.2f} | {1e3 / total:.0f} |"


@click.command()
@click.argument("avatars", nargs=-1, required=True)
@click.option("--frames", default=60, help="Frames to time.")
@click.option("--threads", type=int, help="Of drawing; all cores unless told.")
def main(avatars: tuple[str, ...], frames: int, threads: int | None) -> None:
    for line in (*quality(avatars), "", *speed(avatars, frames, threads), "", INCLUDED, str(machine())):
        click.echo(line)


if __name__ == "__main__":
    main()
