"""Write files in the layouts of the trackers, and project points with the trackers' own formulas.

Layouts and formulas are those of the projects' sources: metrical-tracker `tracker.py`
`save_checkpoint` and PyTorch3D's `PerspectiveCameras`, Pixel3DMM `tracker.py` `save_checkpoint` and
`project_points_screen_space`, VHAP `tracker.py` `save_result` and `render_nvdiffrast.py`, CAP4D
`convert_to_flowface.py` and `flowface/flame/utils.py`, EMOCA `utils/io.py`.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from imavatar_deploy.retarget.arkit import ARKIT_NAMES

Float = NDArray[Any]

FRAMES = 3
AXES = ("Yaw", "Pitch", "Roll")
HEIGHT = 480
WIDTH = 640
FLIP = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class Motion:
    """The data of all trackers, for T frames."""

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
    """Return the first two rows of each rotation, concatenated, as a batch of one."""
    matrices = Rotation.from_rotvec(axis_angles.reshape(-1, 3)).as_matrix()
    return matrices[:, :2].reshape(1, -1).astype(np.float32)


def metrical_frame(truth: Motion, index: int) -> dict[str, Any]:
    return {
        "flame": {
            "exp": truth.expression[index][None],
            "shape": truth.shape[None],
            "tex": np.zeros((1, 150), np.float32),
            "sh": np.zeros((1, 9, 3), np.float32),
            "eyes": six(truth.eyes[index]),
            "eyelids": np.full((1, 2), 0.3, np.float32),
            "jaw": six(truth.jaw[index]),
        },
        "camera": {
            "R": (truth.matrices[index] @ np.diag([-1.0, 1, -1]))[:2]
            .reshape(1, 6)
            .astype(np.float32),
            "t": (truth.move[index] + [0, 0, 1])[None].astype(np.float32),
            "fl": np.array([[truth.focal]], np.float32),
            "pp": truth.middle[None],
        },
        "opencv": {"R": np.eye(3)[None], "t": np.zeros((1, 3)), "K": np.eye(3)[None]},
        "img_size": np.array([HEIGHT, WIDTH]),
        "frame_id": str(index).zfill(5),
        "global_step": 7 * index,
    }


def metrical_pixel(truth: Motion, index: int, point: Float) -> Float:
    """Project a point (metres) to column and row: x R + T in PyTorch3D's axes, +X left."""
    x, y, z = (
        point @ (truth.matrices[index] @ np.diag([-1.0, 1, -1])) + truth.move[index] + [0, 0, 1]
    )
    half = min(HEIGHT, WIDTH) / 2
    across = truth.focal * x / z + truth.middle[0]
    up = truth.focal * y / z + truth.middle[1]
    return np.array([WIDTH / 2 - half * across, HEIGHT / 2 - half * up])


def pixel3dmm_frame(truth: Motion, index: int) -> dict[str, Any]:
    frame = metrical_frame(truth, index)
    base = Rotation.from_rotvec([0.02, 0.1, 0]).as_matrix().astype(np.float32)
    frame["flame"] |= {
        "neck": six(truth.neck[index]),
        "R": six(truth.turn[index]),
        "R_rotation_matrix": truth.matrices[index][None].astype(np.float32),
        "t": truth.move[index][None],
    }
    frame["camera"] = {
        "R_base_0": base[None],
        "t_base_0": np.array([[0.01, 0.02, -1.1]], np.float32),
        "fl": np.array([[truth.focal]], np.float32),
        "pp": truth.middle[None],
    }
    frame["img_size"] = np.array([512, 512])
    frame["joint_transforms"] = np.zeros((1, 5, 4, 4), np.float32)
    return frame


def pixel3dmm_pixel(truth: Motion, index: int, point: Float) -> Float:
    size = 512
    camera = pixel3dmm_frame(truth, index)["camera"]
    local = (
        camera["R_base_0"][0] @ (truth.matrices[index] @ point + truth.move[index])
        + camera["t_base_0"][0]
    )
    intrinsics = np.array([[truth.focal * size, 0, 0], [0, truth.focal * size, 0], [0, 0, 1]])
    intrinsics[:2, 2] = size / 2 + 0.5 + truth.middle * (size / 2 + 0.5)
    intrinsics[0, 2] = size - intrinsics[0, 2]
    column, row = -(intrinsics @ (local / -local[2]))[:2]
    return np.array([size - 1 - column, row])


def vhap_arrays(truth: Motion) -> dict[str, Any]:
    return {
        "rotation": truth.turn,
        "translation": truth.move,
        "neck_pose": truth.neck,
        "jaw_pose": truth.jaw,
        "eyes_pose": truth.eyes,
        "shape": truth.shape,
        "expr": truth.expression,
        "timestep_id": np.array([f"{index:05d}" for index in range(len(truth.turn))]),
        "n_processed_frames": np.array(len(truth.turn)),
        "focal_length": np.array([truth.focal], np.float32),
        "static_offset": np.zeros((1, 7, 3), np.float32),
        "image_size": np.array([HEIGHT, WIDTH]),
    }


def vhap_pixel(truth: Motion, index: int, point: Float) -> Float:
    """Project a point of the rotated head (metres) with nvdiffrast's projection matrix."""
    x, y, z = point + truth.move[index] + [0, 0, -1]
    focal = truth.focal * max(HEIGHT, WIDTH)
    across = 2 * focal / WIDTH * x / -z
    up = 2 * focal / HEIGHT * y / -z
    return np.array([(1 + across) / 2 * WIDTH, (1 - up) / 2 * HEIGHT])


def cap4d_arrays(truth: Motion) -> dict[str, Any]:
    extrinsics = np.eye(4, dtype=np.float32)
    extrinsics[:3, :3] = Rotation.from_rotvec([0.02, 0.1, 0]).as_matrix()
    extrinsics[:3, 3] = [0.01, 0.02, 1.1]
    return {
        "fx": np.array([[900.0]], np.float32),
        "fy": np.array([[910.0]], np.float32),
        "cx": np.array([[330.0]], np.float32),
        "cy": np.array([[235.0]], np.float32),
        "extr": extrinsics[None],
        "resolutions": np.array([[HEIGHT, WIDTH]]),
        "camera_order": np.array(["cam0"]),
        "rot": truth.turn,
        "tra": truth.move,
        "shape": truth.shape[:150],
        "expr": truth.expression[:, :65],
        "neck_rot": truth.neck,
        "eye_rot": truth.eyes[:, :3],
        "jaw_rot": truth.jaw,
    }


def cap4d_pixel(truth: Motion, index: int, point: Float) -> Float:
    arrays = cap4d_arrays(truth)
    turned = FLIP @ (truth.matrices[index] @ point + truth.move[index])
    x, y, z = arrays["extr"][0, :3, :3] @ turned + arrays["extr"][0, :3, 3]
    fx, fy, cx, cy = (float(arrays[key].item()) for key in ("fx", "fy", "cx", "cy"))
    return np.array([x / z * fx + cx, y / z * fy + cy])


def deca_code(truth: Motion, index: int) -> dict[str, Any]:
    return {
        "shape": truth.shape[None, :100],
        "tex": np.zeros((1, 50), np.float32),
        "exp": truth.expression[index, None, :50],
        "pose": np.concatenate([truth.turn[index], truth.jaw[index]])[None],
        "cam": np.array([[8.0, 0.0, 0.0]], np.float32),
    }


def emoca_code(truth: Motion, index: int) -> dict[str, Any]:
    return {
        f"{key}code" if key != "cam" else key: value
        for key, value in deca_code(truth, index).items()
    }


def smirk_code(truth: Motion, index: int) -> dict[str, Any]:
    return {
        "pose_params": truth.turn[index][None],
        "cam": np.array([[7.0, 0.0, 0.0]], np.float32),
        "shape_params": truth.shape[None],
        "expression_params": truth.expression[index, None, :50],
        "eyelid_params": np.full((1, 2), 0.4, np.float32),
        "jaw_params": truth.jaw[index][None],
    }


def flame_head_tracker_code(truth: Motion, index: int) -> dict[str, Any]:
    """Return the arrays of one frame, as `tracker_base.py` returns them since version 3."""
    return {
        "shape": truth.shape[None],
        "exp": truth.expression[index][None],
        "head_pose": truth.turn[index][None],
        "jaw_pose": truth.jaw[index][None],
        "neck_pose": truth.neck[index][None],
        "eye_pose": truth.eyes[index][None],
        "tex": np.zeros((1, 50), np.float32),
        "light": np.zeros((1, 9, 3), np.float32),
        "cam": np.zeros((1, 6), np.float32),
        "fov": np.array([20.0], np.float32),
    }


def arkit_weights(frames: int) -> Float:
    """Return ARKit weights `[T, 52]` with three decimals, as programs write them."""
    rng = np.random.default_rng(7)
    return np.round(rng.uniform(0, 1, (frames, len(ARKIT_NAMES))), 3)


def live_link_text(weights: Float, angles: Float, *, first: int = 0) -> str:
    """Return the table of Live Link Face, at 60 frames a second.

    Args:
        weights: `[T, 52]`.
        angles: `[T, 9]` yaw, pitch and roll of head, left and right eye.
        first: number of the first frame.
    """
    turns = [f"{part}{axis}" for part in ("Head", "LeftEye", "RightEye") for axis in AXES]
    heading = ["Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in ARKIT_NAMES)]
    lines = [",".join([*heading, *turns])]
    for index, values in enumerate(np.concatenate([weights, angles], axis=1)):
        seconds, frame = divmod(first + index, 60)
        code = f"10:00:{seconds:02d}:{frame:02d}.651"
        lines.append(",".join([code, "61", *(f"{value:.10f}" for value in values)]))
    return "\n".join(lines) + "\n"


def lam_document(weights: Float, fps: float | None = 30.0) -> dict[str, Any]:
    """Return the document of LAM's `export_blendshape_animation`."""
    return {
        "names": list(ARKIT_NAMES),
        "metadata": {"frame_count": len(weights)} | ({} if fps is None else {"fps": fps}),
        "frames": [{"weights": row.tolist(), "rotation": []} for row in weights],
    }


def json_bytes(content: dict[str, Any]) -> bytes:
    """Return a dictionary of arrays as JSON."""
    return json.dumps({key: np.asarray(value).tolist() for key, value in content.items()}).encode()


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
    "flame-head-tracker": flame_head_tracker_code,
}
"""Contents of one frame, for trackers that store single frames."""

WHOLE: dict[str, Callable[[Motion], dict[str, Any]]] = {"vhap": vhap_arrays, "cap4d": cap4d_arrays}
"""Contents of a motion, for trackers that store whole motions."""

PIXELS: dict[str, Callable[[Motion, int, Float], Float]] = {
    "metrical-tracker": metrical_pixel,
    "pixel3dmm": pixel3dmm_pixel,
    "cap4d": cap4d_pixel,
    "vhap": vhap_pixel,
}
"""Projection of a point of the head (VHAP: of the rotated head) by each tracker's formula."""

SIZES = {"pixel3dmm": (512, 512)}


def write_motion(name: str, folder: Path, truth: Motion, suffix: str) -> Path:
    """Write a file, or a folder with a file per frame, as the tracker `name` does."""
    folder.mkdir(parents=True, exist_ok=True)
    if name in WHOLE:
        return WRITERS[suffix](folder / f"{name}{suffix}", WHOLE[name](truth))
    for index in range(len(truth.turn)):
        WRITERS[suffix](folder / f"{index:05d}{suffix}", CODES[name](truth, index))
    return folder
