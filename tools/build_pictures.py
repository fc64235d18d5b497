"""Draw the pictures of the bundled sample in README and docs: a sheet of poses and a turntable."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.camera import Camera, orbited
from imavatar_deploy.cli.command import Command
from imavatar_deploy.conventions import JAW, POSE_SIZE
from imavatar_deploy.errors import InternalError
from imavatar_deploy.marking import XMP, marked_png
from imavatar_deploy.runtime import Player

DOCS = Path(__file__).parents[1] / "docs"
SHEET = "sample_poses.png"
TURNTABLE = "turntable.webp"

SIZE = 384
"""Pixels a side of a picture of the sheet."""

COLUMNS = 4

SMILE = ("mouthSmileLeft", "mouthSmileRight", "cheekSquintLeft", "cheekSquintRight")
BLINK = ("eyeBlinkLeft", "eyeBlinkRight")
JAW_OPENING = 0.3
"""Radians."""

TURN = 60
"""Pictures of the turntable."""

DURATION = 80
"""Of each of them, milliseconds."""

QUALITY = 80
"""Of the WebP, up to 100."""

TURN_SIZE = 320


def poses(player: Player) -> list[NDArray[np.uint8]]:
    """Front, three quarters, profile, back, open mouth, blink, smile, and from below, RGBA."""
    rest = np.zeros(POSE_SIZE, dtype=np.float32)
    neutral = np.zeros(player.avatar.expression_size, dtype=np.float32)
    opened = rest.copy()
    opened[JAW.start] = JAW_OPENING

    def expression(*names: str) -> NDArray[np.float32]:
        values = neutral.copy()
        values[[player.avatar.expression_names.index(name) for name in names]] = 1.0
        return values

    def turned(yaw: float, pitch: float = 0.0) -> NDArray[np.uint8]:
        return player.render(neutral, rest, view(player, yaw, pitch))

    return [
        turned(0.0),
        turned(45.0),
        turned(90.0),
        turned(180.0),
        player.render(neutral, opened),
        player.render(expression(*BLINK), rest),
        player.render(expression(*SMILE), rest),
        turned(20.0, -25.0),
    ]


def view(player: Player, yaw: float, pitch: float = 0.0) -> Camera:
    """The player's own view, farther away and turned by degrees."""
    return orbited(player.camera, yaw=np.radians(yaw), pitch=np.radians(pitch), zoom=0.72)


def turntable(player: Player) -> list[NDArray[np.uint8]]:
    """The head at rest from all around, RGBA."""
    rest = np.zeros(POSE_SIZE, dtype=np.float32)
    neutral = np.zeros(player.avatar.expression_size, dtype=np.float32)
    return [
        player.render(neutral, rest, view(player, yaw))
        for yaw in np.linspace(0.0, 360.0, TURN, endpoint=False)
    ]


def write_animation(path: Path, frames: list[NDArray[np.uint8]]) -> None:
    """Write frames as an animated WebP that bears the mark of synthetic media."""
    animation = cv2.Animation()
    animation.frames = [np.ascontiguousarray(frame[..., 2::-1]) for frame in frames]
    animation.durations = np.full(len(frames), DURATION, dtype=np.int32)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "turntable.webp"
        cv2.imwriteanimation(str(plain), animation, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
        content = bytearray(plain.read_bytes())
    if content[12:16] != b"VP8X":
        raise InternalError("an animated WebP must begin with the chunk VP8X")
    content[20] |= 4  # the flag that says that there is XMP
    content += b"XMP " + struct.pack("<I", len(XMP)) + XMP + b"\0" * (len(XMP) % 2)
    content[4:8] = struct.pack("<I", len(content) - 8)
    with atomic_file(path) as partial:
        partial.write_bytes(bytes(content))


@click.command(cls=Command)
@click.argument("avatar", default="sample")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=DOCS, help="Folder to write."
)
def build(avatar: str, out: Path) -> None:
    """Draw the pictures of an avatar, by default of the bundled sample."""
    with Player(avatar, size=SIZE, background="white") as player:
        images = poses(player)
    rows = [np.hstack(images[start : start + COLUMNS]) for start in range(0, len(images), COLUMNS)]
    with atomic_file(out / SHEET) as partial:
        png = cv2.imencode(".png", np.vstack(rows)[..., 2::-1])[1].tobytes()
        partial.write_bytes(marked_png(png))
    with Player(avatar, size=TURN_SIZE, background="white") as player:
        frames = turntable(player)
    write_animation(out / TURNTABLE, frames)
    click.echo(f"wrote {out / SHEET} and {out / TURNTABLE}")


if __name__ == "__main__":
    build()
