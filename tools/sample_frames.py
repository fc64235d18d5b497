"""Draw the frames of the bundled sample that `tests/rendering/test_stored_frames.py` compares with.

`bake_sample.py` draws them, too. Run this script alone when the intended appearance changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.cli.command import Command
from imavatar_deploy.rendering.shading import SHADINGS
from imavatar_deploy.runtime import Player
from imavatar_deploy.tracks import read_track

STORED = Path(__file__).parents[1] / "tests" / "rendering" / "stored_frames"

FRAMES = (0, 37, 120)
"""Frames of the bundled motion."""

SIZE = (96, 80)


def strip(avatar: str | Path, shading: str) -> NDArray[np.uint8]:
    """Three frames of the bundled motion and the normals of the second, side by side, RGBA."""
    talk = read_track("talk")
    look: dict[str, Any] = {"background": "#204060", "antialias": "none"}
    with Player(avatar, size=SIZE, shading=shading, **look) as player:
        images = [player.render(talk.expression[frame], talk.pose[frame]) for frame in FRAMES]
        normals = player.normals(talk.expression[FRAMES[1]], talk.pose[FRAMES[1]])
    picture = np.full((*normals.shape[:2], 4), 255, dtype=np.uint8)
    picture[..., :3] = np.round((normals + 1) * 127.5)
    return np.concatenate([*images, picture], axis=1)


def draw(avatar: str | Path, folder: Path = STORED) -> None:
    """Write the strip of every shading into a folder."""
    for shading in SHADINGS:
        image = cv2.cvtColor(strip(avatar, shading), cv2.COLOR_RGBA2BGRA)
        with atomic_file(folder / f"{shading}.png") as partial:
            partial.write_bytes(cv2.imencode(".png", image)[1].tobytes())


@click.command(cls=Command)
@click.argument("avatar", default="sample")
def main(avatar: str) -> None:
    """Draw the stored frames of an avatar, by default of the bundled sample."""
    draw(avatar)
    click.echo(f"wrote {STORED}")


if __name__ == "__main__":
    main()
