"""Build the pictures of the capture guide: `docs/images/capture-*.jpg`.

    python tools/build_capture_pictures.py [FOLDER]

Bundled synthetic subjects before a plain wall: the motions of a good clip, and mistakes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import BONES
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.training.synthetic.build_subject import build_subject
from imavatar_deploy.training.synthetic.render_frame import FrameRenderer, RenderedFrame
from imavatar_deploy.training.synthetic.synthesise import INTRINSICS, WORLD_MAT

Image = NDArray[np.float32]
"""RGB, 0..1."""

OUT = Path(__file__).resolve().parents[1] / "docs" / "images"
SIDE = 300
COLUMNS = 4
CAPTION = 34
GAP = 8
QUALITY = 82

WALL = np.float32([0.72, 0.74, 0.75])
SKIN = np.float32([0.80, 0.60, 0.50])
SIDE_LIGHT = np.float32([-0.95, 0.15, 0.28])

MOTIONS: Mapping[str, Mapping[str, float]] = {
    "0:00 straight ahead": {},
    "0:03 to your left": {"neck y": 0.48},
    "0:06 to your right": {"neck y": -0.48},
    "0:10 up and down": {"neck x": -0.22},
    "0:14 mouth wide open": {"jaw x": 0.36, "mouthLowerDown": 0.3, "mouthUpperUp": 0.2},
    "0:16 broad smile": {"mouthSmile": 0.95, "cheekSquint": 0.6, "mouthUpperUp": 0.4,
                         "mouthLowerDown": 0.3, "jaw x": 0.05},
    "0:18 brows up": {"browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 0.6},
    "0:20 pursed lips": {"mouthPucker": 1.0, "mouthFunnel": 0.2},
}  # fmt: skip
"""Captions, and the pose (bone and axis, radians) and expressions (without their sides)."""


class Studio:
    """Renders one subject before the wall."""

    def __init__(self, subject: str, workers: Workers) -> None:
        built = build_subject(subject)
        self._names = built.surface.head.expression_names
        camera = Camera.from_dataset(WORLD_MAT, INTRINSICS)
        self._renderer = FrameRenderer(built, camera, SIDE, workers)

    def frame(self, face: Mapping[str, float]) -> RenderedFrame:
        """Render a face, described as in `MOTIONS`."""
        expression = np.zeros(len(self._names), dtype=np.float32)
        pose = np.zeros(15, dtype=np.float32)
        for name, value in face.items():
            if " " in name:
                bone, axis = name.split()
                pose[3 * BONES.index(bone) + "xyz".index(axis)] = value
                continue
            for side in ("",) if name in self._names else ("Left", "Right"):
                expression[self._names.index(name + side)] = value
        return self._renderer.draw(expression, pose)


def wall_shade() -> Image:
    """Light on the wall, a little less below, `[S, 1, 1]`."""
    return np.linspace(1.05, 0.92, SIDE, dtype=np.float32)[:, None, None]


def on_wall(frame: RenderedFrame) -> Image:
    """The subject before the wall."""
    alpha = cv2.GaussianBlur(frame.mask.astype(np.float32), (3, 3), 0)[..., None]
    return np.clip(alpha * frame.rgb + (1 - alpha) * WALL * wall_shade(), 0, 1).astype(np.float32)


# Mistakes


def dark(frame: RenderedFrame) -> Image:
    """Too little light, with the noise of a sensor."""
    noise = np.random.default_rng(0).normal(0.0, 0.035, (SIDE, SIDE, 3))
    return np.clip(0.23 * on_wall(frame) + noise, 0, 1).astype(np.float32)


def hard_light(frame: RenderedFrame) -> Image:
    """A single lamp at the side."""
    lit = np.clip(frame.normal @ (SIDE_LIGHT / np.linalg.norm(SIDE_LIGHT)), 0, 1)
    shade = np.where(frame.mask, 0.16 + 1.15 * lit, 0.8)[..., None]
    return np.clip(on_wall(frame) * shade, 0, 1).astype(np.float32)


def blurred(frame: RenderedFrame) -> Image:
    """A fast turn of the head, or a wrong focus."""
    image = on_wall(frame)
    streak = np.zeros((25, 25), dtype=np.float32)
    streak[12] = 1.0 / 25.0
    return np.asarray(cv2.GaussianBlur(cv2.filter2D(image, -1, streak), (0, 0), 1.5), np.float32)


def hand(frame: RenderedFrame) -> Image:
    """A hand before mouth and chin."""
    image = on_wall(frame).copy()
    paint = np.zeros((SIDE, SIDE), dtype=np.float32)
    fingers = [(92, 188, 60, 78), (88, 206, 64, 82), (92, 224, 60, 84), (100, 241, 50, 88)]
    for column, row, length, angle in fingers:
        cv2.ellipse(paint, (column + 40, row), (length, 11), angle - 84, 0, 360, 1.0, -1)
    cv2.ellipse(paint, (96, 250), (46, 58), 20, 0, 360, 1.0, -1)
    cv2.ellipse(paint, (112, 176), (14, 44), -24, 0, 360, 1.0, -1)
    rim = cv2.GaussianBlur(paint, (0, 0), 7)[..., None]
    alpha = cv2.GaussianBlur(paint, (0, 0), 0.8)[..., None]
    lines = np.zeros_like(paint)
    for column, row, length, angle in fingers[1:]:
        cv2.ellipse(lines, (column + 40, row - 9), (length, 2), angle - 84, 0, 360, 1.0, -1)
    lines = cv2.GaussianBlur(lines, (0, 0), 1.5)[..., None]
    skin = SKIN * (0.55 + 0.5 * rim) * (1 - 0.35 * lines)
    return np.clip(alpha * skin + (1 - alpha) * image, 0, 1).astype(np.float32)


def small(frame: RenderedFrame) -> Image:
    """A person far from the camera."""
    size = SIDE // 4
    mask = frame.mask.astype(np.float32)[..., None]
    painted = np.concatenate([mask * frame.rgb, mask], axis=2)
    few = cv2.resize(painted, (size, size), interpolation=cv2.INTER_AREA)
    image = WALL * wall_shade()
    image = np.repeat(image, SIDE, axis=1)
    part = image[SIDE - size :, (SIDE - size) // 2 :][:, :size]
    part[:] = few[..., :3] + (1 - few[..., 3:]) * part
    return image.astype(np.float32)


def cut_off(frame: RenderedFrame) -> Image:
    """A head that the upper border of the picture cuts."""
    image = on_wall(frame)
    return np.asarray(cv2.resize(image[90:240, 40:190], (SIDE, SIDE)), dtype=np.float32)


MISTAKES: Mapping[str, tuple[Callable[[RenderedFrame], Image], Mapping[str, float]]] = {
    "good": (on_wall, {}),
    "too dark": (dark, {}),
    "hard light from one side": (hard_light, {}),
    "blurred": (blurred, {"neck y": 0.3}),
    "hand before the face": (hand, {}),
    "turned away": (on_wall, {"neck y": 0.75, "global y": 0.65}),
    "too far away": (small, {}),
    "cut off": (cut_off, {}),
}


# Sheets


def sheet(tiles: Mapping[str, Image]) -> NDArray[np.uint8]:
    """Tiles in rows of COLUMNS, each above its caption."""
    rows = -(-len(tiles) // COLUMNS)
    height, width = SIDE + CAPTION, SIDE + GAP
    canvas = np.full((rows * height, COLUMNS * width - GAP, 3), 255, dtype=np.uint8)
    for index, (caption, image) in enumerate(tiles.items()):
        top, left = index // COLUMNS * height, index % COLUMNS * width
        canvas[top : top + SIDE, left : left + SIDE] = np.round(255 * image)
        cv2.putText(
            canvas, caption, (left + 4, top + SIDE + 22), cv2.FONT_HERSHEY_SIMPLEX, 0.62,
            (40, 40, 40), 1, cv2.LINE_AA,
        )  # fmt: skip
    return canvas


def write(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write an RGB picture as a JPEG."""
    flags: Any = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    if not cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), flags):
        raise SystemExit(f"{path} cannot be written")
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Write both sheets."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    out.mkdir(parents=True, exist_ok=True)
    with Workers(1) as workers:
        first = Studio("female2", workers)
        motions = {caption: on_wall(first.frame(face)) for caption, face in MOTIONS.items()}
        write(out / "capture-motions.jpg", sheet(motions))
        second = Studio("male2", workers)
        mistakes = {
            caption: change(second.frame(face)) for caption, (change, face) in MISTAKES.items()
        }
        write(out / "capture-mistakes.jpg", sheet(mistakes))


if __name__ == "__main__":
    main()
