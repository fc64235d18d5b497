"""A dataset in the published layout that shows a baked avatar in other colours than its own."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.camera import Camera, front_camera
from imavatar_deploy.rendering.cpu_renderer import open_cpu_renderer
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.rendering.renderer import RenderConfig
from imavatar_deploy.tracks import FlameTrack, flame_params

FRAMES = 24
SIZE = 64


def write_pictures(folder: AvatarFolder, out: Path, *, edition: str = "openhead") -> FlameTrack:
    """Draw `FRAMES` frames of a student, its colours mixed, into a video folder; return its track.

    The neck turns, the jaw and some expressions move.
    """
    avatar = folder.avatar
    generator = np.random.default_rng(0)
    pose = np.zeros((FRAMES, 15), dtype=np.float32)
    pose[:, 4] = np.linspace(-0.4, 0.4, FRAMES)
    pose[:, 6] = generator.uniform(0.0, 0.2, FRAMES)
    expression = np.zeros((FRAMES, 50), dtype=np.float32)
    expression[:, :8] = generator.uniform(0.0, 0.5, (FRAMES, 8))
    neutral = pose_plainly(avatar, np.zeros(50, dtype=np.float32), np.zeros(15, dtype=np.float32))
    camera: Camera = front_camera(avatar, neutral.vertices)
    names = tuple(str(frame) for frame in range(FRAMES))
    track = FlameTrack(expression, pose, (camera,) * FRAMES, edition=edition, names=names)
    for kind in ("image", "mask"):
        (out / kind).mkdir(parents=True)
    renderer = open_cpu_renderer(RenderConfig(folder, SIZE, SIZE, "student"))
    with closing(renderer):
        for frame in range(FRAMES):
            matrix = camera.image_matrix(SIZE, SIZE)
            buffers = renderer.buffers(expression[frame], pose[frame], matrix)
            mixed = 0.7 * buffers.colours[..., [2, 0, 1]] + 0.1
            image = np.where(buffers.mask[..., None], mixed, 1.0)
            pixels = np.rint(255 * image).astype(np.uint8)
            cv2.imwrite(str(out / "image" / f"{frame}.png"), pixels[..., ::-1])
            cv2.imwrite(str(out / "mask" / f"{frame}.png"), 255 * buffers.mask.astype(np.uint8))
    flame_params.write(track, out / "flame_params.json")
    return track
