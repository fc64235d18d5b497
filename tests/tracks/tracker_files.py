"""Files as the trackers write them, from one known motion; and where each tracker's own formula puts a point.

Layouts and formulas are those of the projects' sources: metrical-tracker `tracker.py` `save_checkpoint` and PyTorch3D's
`PerspectiveCameras`, Pixel3DMM `tracker.py` `save_checkpoint` and `project_points_screen_space`, VHAP `tracker.py`
`save_result` and `render_nvdiffrast.py`, CAP4D `convert_to_flowface.py` and `flowface/flame/utils.py`, EMOCA
`utils/io.py`.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Float = NDArray[Any]

FRAMES = 3
HEIGHT = 480
WIDTH = 640
FLIP = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class Motion:
    """Everything any tracker may say, per frame where it begins with T."""

    expression: Float  # [T, 100]
    shape: Float  # [300]
    turn: Float  # [T, 3] axis-angle
    neck: Float  # [T, 3]
    jaw: Float  # [T, 3]
    eyes: Float  # [T, 6]
    move: Float  # [T, 3] metres
    focal: float
    middle: Float  # [2]

    @property
    def matrices(self) -> Float:
        return Rotation.from_rotvec(self.turn).as_matrix()


def motion(frames: int = FRAMES) -> Motion:
    rng = np.random.default_rng(5)

    def small(*shape: int, scale: float = 0.2) -> Float:
        return (scale * rng.normal(size=shape)).astype(np.float32)

    return Motion(
        expression=small(frames, 100, scale=1.0),
        shape=small(300, scale=0.1),
        turn=small(frames, 3),
        neck=small(frames, 3),
        jaw=small(frames, 3),
        eyes=small(frames, 6),
        move=small(frames, 3, scale=0.03),
        focal=4.5,
        middle=small(2, scale=0.02),
    )


def six(axis_angles: Float) -> Float:
    """The first two rows of each rotation, one after the other, as one batch."""
    matrices = Rotation.from_rotvec(axis_angles.reshape(-1, 3)).as_matrix()
    return matrices[:, :2].reshape(1, -1).astype(np.float32)


def metrical_frame(told: Motion, index: int) -> dict[str, Any]:
    return {
        "flame": {
            "exp": told.expression[index][None],
            "shape": told.shape[None],
            "tex": np.zeros((1, 150), np.float32),
            "sh": np.zeros((1, 9, 3), np.float32),
            "eyes": six(told.eyes[index]),
            "eyelids": np.full((1, 2), 0.3, np.float32),
            "jaw": six(told.jaw[index]),
        },
        "camera": {
            "R": (told.matrices[index] @ np.diag([-1.0, 1, -1]))[:2]
            .reshape(1, 6)
            .astype(np.float32),
            "t": (told.move[index] + [0, 0, 1])[None].astype(np.float32),
            "fl": np.array([[told.focal]], np.float32),
            "pp": told.middle[None],
        },
        "opencv": {"R": np.eye(3)[None], "t": np.zeros((1, 3)), "K": np.eye(3)[None]},
        "img_size": np.array([HEIGHT, WIDTH]),
        "frame_id": str(index).zfill(5),
        "global_step": 7 * index,
    }


def metrical_pixel(told: Motion, index: int, point: Float) -> Float:
    """(column, row) of a point in metres: x R + T, then PyTorch3D's normalised coordinates, +X to the left."""
    x, y, z = point @ (told.matrices[index] @ np.diag([-1.0, 1, -1])) + told.move[index] + [0, 0, 1]
    half = min(HEIGHT, WIDTH) / 2
    across = told.focal * x / z + told.middle[0]
    up = told.focal * y / z + told.middle[1]
    return np.array([WIDTH / 2 - half * across, HEIGHT / 2 - half * up])


def pixel3dmm_frame(told: Motion, index: int) -> dict[str, Any]:
    frame = metrical_frame(told, index)
    base = Rotation.from_rotvec([0.02, 0.1, 0]).as_matrix().astype(np.float32)
    frame["flame"] |= {
        "neck": six(told.neck[index]),
        "R": six(told.turn[index]),
        "R_rotation_matrix": told.matrices[index][None].astype(np.float32),
        "t": told.move[index][None],
    }
    frame["camera"] = {
        "R_base_0": base[None],
        "t_base_0": np.array([[0.01, 0.02, -1.1]], np.float32),
        "fl": np.array([[told.focal]], np.float32),
        "pp": told.middle[None],
    }
    frame["img_size"] = np.array([512, 512])
    frame["joint_transforms"] = np.zeros((1, 5, 4, 4), np.float32)
    return frame


def pixel3dmm_pixel(told: Motion, index: int, point: Float) -> Float:
    size = 512
    camera = pixel3dmm_frame(told, index)["camera"]
    seen = (
        camera["R_base_0"][0] @ (told.matrices[index] @ point + told.move[index])
        + camera["t_base_0"][0]
    )
    intrinsics = np.array([[told.focal * size, 0, 0], [0, told.focal * size, 0], [0, 0, 1]])
    intrinsics[:2, 2] = size / 2 + 0.5 + told.middle * (size / 2 + 0.5)
    intrinsics[0, 2] = size - intrinsics[0, 2]
    column, row = -(intrinsics @ (seen / -seen[2]))[:2]
    return np.array([size - 1 - column, row])


def vhap_arrays(told: Motion) -> dict[str, Any]:
    return {
        "rotation": told.turn,
        "translation": told.move,
        "neck_pose": told.neck,
        "jaw_pose": told.jaw,
        "eyes_pose": told.eyes,
        "shape": told.shape,
        "expr": told.expression,
        "timestep_id": np.array([f"{index:05d}" for index in range(len(told.turn))]),
        "n_processed_frames": np.array(len(told.turn)),
        "focal_length": np.array([told.focal], np.float32),
        "static_offset": np.zeros((1, 7, 3), np.float32),
        "image_size": np.array([HEIGHT, WIDTH]),
    }


def vhap_pixel(told: Motion, index: int, point: Float) -> Float:
    """A point of the turned head in metres, through nvdiffrast's projection matrix."""
    x, y, z = point + told.move[index] + [0, 0, -1]
    focal = told.focal * max(HEIGHT, WIDTH)
    across = 2 * focal / WIDTH * x / -z
    up = 2 * focal / HEIGHT * y / -z
    return np.array([(1 + across) / 2 * WIDTH, (1 - up) / 2 * HEIGHT])


def cap4d_arrays(told: Motion) -> dict[str, Any]:
    placed = np.eye(4, dtype=np.float32)
    placed[:3, :3] = Rotation.from_rotvec([0.02, 0.1, 0]).as_matrix()
    placed[:3, 3] = [0.01, 0.02, 1.1]
    return {
        "fx": np.array([[900.0]], np.float32),
        "fy": np.array([[910.0]], np.float32),
        "cx": np.array([[330.0]], np.float32),
        "cy": np.array([[235.0]], np.float32),
        "extr": placed[None],
        "resolutions": np.array([[HEIGHT, WIDTH]]),
        "camera_order": np.array(["cam0"]),
        "rot": told.turn,
        "tra": told.move,
        "shape": told.shape[:150],
        "expr": told.expression[:, :65],
        "neck_rot": told.neck,
        "eye_rot": told.eyes[:, :3],
        "jaw_rot": told.jaw,
    }


def cap4d_pixel(told: Motion, index: int, point: Float) -> Float:
    arrays = cap4d_arrays(told)
    turned = FLIP @ (told.matrices[index] @ point + told.move[index])
    x, y, z = arrays["extr"][0, :3, :3] @ turned + arrays["extr"][0, :3, 3]
    fx, fy, cx, cy = (float(arrays[key].item()) for key in ("fx", "fy", "cx", "cy"))
    return np.array([x / z * fx + cx, y / z * fy + cy])


def deca_code(told: Motion, index: int) -> dict[str, Any]:
    return {
        "shape": told.shape[None, :100],
        "tex": np.zeros((1, 50), np.float32),
        "exp": told.expression[index, None, :50],
        "pose": np.concatenate([told.turn[index], told.jaw[index]])[None],
        "cam": np.array([[8.0, 0.0, 0.0]], np.float32),
    }


def emoca_code(told: Motion, index: int) -> dict[str, Any]:
    return {
        f"{key}code" if key != "cam" else key: value
        for key, value in deca_code(told, index).items()
    }


def smirk_code(told: Motion, index: int) -> dict[str, Any]:
    return {
        "pose_params": told.turn[index][None],
        "cam": np.array([[7.0, 0.0, 0.0]], np.float32),
        "shape_params": told.shape[None],
        "expression_params": told.expression[index, None, :50],
        "eyelid_params": np.full((1, 2), 0.4, np.float32),
        "jaw_params": told.jaw[index][None],
    }


def write_torch(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def write_npz(path: Path, content: Any) -> Path:
    np.savez(path, **content)
    return path


def write_pickle(path: Path, content: Any) -> Path:
    path.write_bytes(pickle.dumps(content))
    return path


def write_npy(path: Path, content: Any) -> Path:
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    return path


WRITERS: dict[str, Callable[[Path, Any], Path]] = {
    ".frame": write_torch,
    ".pt": write_torch,
    ".npz": write_npz,
    ".npy": write_npy,
    ".pkl": write_pickle,
}

CODES: dict[str, Callable[[Motion, int], dict[str, Any]]] = {
    "metrical-tracker": metrical_frame,
    "pixel3dmm": pixel3dmm_frame,
    "deca": deca_code,
    "emoca": emoca_code,
    "smirk": smirk_code,
}
"""What each tracker that speaks of one frame at a time says of it."""

WHOLE: dict[str, Callable[[Motion], dict[str, Any]]] = {"vhap": vhap_arrays, "cap4d": cap4d_arrays}
"""And those that keep a whole motion."""

PIXELS: dict[str, Callable[[Motion, int, Float], Float]] = {
    "metrical-tracker": metrical_pixel,
    "pixel3dmm": pixel3dmm_pixel,
    "cap4d": cap4d_pixel,
    "vhap": vhap_pixel,
}
"""Where its own formula puts a point of the head, of VHAP's the turned head."""
SIZES = {"pixel3dmm": (512, 512)}


def write_motion(name: str, folder: Path, told: Motion, suffix: str) -> Path:
    """A file, or a folder of a file a frame, as the tracker `name` leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    if name in WHOLE:
        return WRITERS[suffix](folder / f"{name}{suffix}", WHOLE[name](told))
    for index in range(len(told.turn)):
        WRITERS[suffix](folder / f"{index:05d}{suffix}", CODES[name](told, index))
    return folder
