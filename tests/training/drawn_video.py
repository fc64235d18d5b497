"""Small videos in the published layout: a rasterised OpenHead that nods and shakes its head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.training.warm_start.head_surface import vertex_normals

SIDE = 64
INTRINSICS = [-2.6, 2.6, 0.5, 0.5]
WORLD_MAT = [[1, 0, 0, 0], [0, 1, 0, 0.1], [0, 0, 1, -4]]


def motion(frames: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Expressions and poses of a head that turns, nods and speaks."""
    phase = np.linspace(0, 2 * np.pi, frames, endpoint=False)
    expression = np.zeros((frames, 50), dtype=np.float32)
    expression[:, 30] = 0.5 + 0.5 * np.sin(3 * phase)
    pose = np.zeros((frames, 15), dtype=np.float32)
    pose[:, 3] = 0.25 * np.sin(2 * phase)
    pose[:, 4] = 0.5 * np.sin(phase)
    pose[:, 5] = 0.2 * np.cos(phase)
    pose[:, 6] = 0.1 + 0.1 * np.sin(5 * phase)
    return expression, pose


def write_video(
    folder: Path, head: HeadModel, frames: int = 6, *, extras: bool = True, side: int = SIDE
) -> Path:
    """Write a video of `frames` frames; `extras` adds labels, normals and depth."""
    expression, pose = motion(frames)
    entries = []
    with Workers(1) as workers:
        rasteriser = Rasteriser(head.faces, side, side, workers)
        for index in range(frames):
            vertices = UNITS_PER_METRE * head.vertices(expression[index], pose[index])
            pictures = draw(rasteriser, head, vertices, side)
            for kind, picture in pictures.items():
                if extras or kind in ("image", "mask"):
                    write_picture(folder / kind / f"{index + 1}.png", picture)
            entries.append(entry(index, expression[index], pose[index], vertices, side))
    document = {
        "frames": entries,
        "intrinsics": INTRINSICS,
        "shape_params": [0] * 100,
        "head_model": "openhead",
    }
    (folder / "flame_params.json").write_text(json.dumps(document))
    return folder


def draw(
    rasteriser: Rasteriser, head: HeadModel, vertices: NDArray[np.float32], side: int
) -> dict[str, Any]:
    """The pictures of one frame; colours are a function of the position on the template."""
    camera = Camera.from_dataset(WORLD_MAT, INTRINSICS)
    fragments = rasteriser.draw(vertices, camera.image_matrix(side, side))
    mask = fragments.triangle >= 0
    corners = head.faces[fragments.triangle]
    weights = fragments.barycentrics[..., None]
    position = (UNITS_PER_METRE * head.template[corners] * weights).sum(axis=2)
    normal = (vertex_normals(vertices, head.faces)[corners] * weights).sum(axis=2)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
    posed = (vertices[corners] * weights).sum(axis=2)
    depth = -(camera.world_to_camera[2, :3] @ posed[..., None])[..., 0]
    image = np.where(mask[..., None], 127 + 120 * np.sin(6 * position), 90)
    return {
        "image": image.astype(np.uint8),
        "mask": (255 * mask).astype(np.uint8),
        "semantic": np.where(mask, labels(position), 0).astype(np.uint8),
        "normal": np.where(mask[..., None], np.round((normal + 1) / 2 * 65535), 0).astype(
            np.uint16
        ),
        "depth": np.where(mask, np.round((depth - camera.world_to_camera[2, 3]) * 8192), 0).astype(
            np.uint16
        ),
    }


def labels(position: NDArray[np.float32]) -> NDArray[np.int64]:
    """Label ids: cloth below, hair above and behind, a nose in the middle, skin elsewhere."""
    x, y, z = np.moveaxis(position, -1, 0)
    inner = (np.abs(x) < 0.12) & (np.abs(y + 0.1) < 0.15) & (z > 0.25)
    return np.select([y < -0.6, (y > 0.3) | (z < 0), inner], [16, 17, 10], 1)


def entry(
    index: int, expression: Any, pose: Any, vertices: NDArray[np.float32], side: int
) -> dict[str, Any]:
    """A frame of `flame_params.json`."""
    camera = Camera.from_dataset(WORLD_MAT, INTRINSICS)
    column, row, w = camera.image_matrix(2, 2) @ np.vstack([vertices[:1400:20].T, np.ones(70)])
    points = np.stack([column / w - 1, row / w - 1], axis=1)
    return {
        "file_path": f"./image/{index + 1}",
        "world_mat": WORLD_MAT,
        "expression": expression.tolist(),
        "pose": pose.tolist(),
        "bbox": [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()],
        "flame_keypoints": points.tolist(),
    }


def write_picture(path: Path, picture: NDArray[Any]) -> None:
    """Write an RGB picture or one of a single channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture[..., ::-1] if picture.ndim == 3 else picture)


def edit(folder: Path, change: Any) -> None:
    """Apply `change` to the document of `flame_params.json`."""
    path = folder / "flame_params.json"
    document = json.loads(path.read_text())
    change(document)
    path.unlink()  # it may be a hard link
    path.write_text(json.dumps(document))
