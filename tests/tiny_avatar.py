"""A tiny avatar folder for tests: an egg with random bases, a texture network and a student."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import write_avatar
from imavatar_deploy.fidelity.golden import GoldenCase, golden_rows, write_golden
from imavatar_deploy.fidelity.parity import Tolerance
from imavatar_deploy.onnx_session import open_session, run_graph
from imavatar_deploy.rendering.posing import pose_plainly, surface_normals
from imavatar_deploy.student import Student, colours_plainly, write_student

from .shapes import closed_sphere

CODE = 8


def tiny_avatar(rings: int = 12, sectors: int = 16, bones: int = 6) -> Avatar:
    """An egg-shaped head whose bases are random but small."""
    rng = np.random.default_rng(7)
    sphere, faces = closed_sphere(rings, sectors)
    rest = np.ascontiguousarray((sphere * [0.5, 0.7, 0.6]).T, dtype=np.float32)
    weights = rng.random((bones, rest.shape[1])) ** 4
    weights[bones - 4] += 2.0  # most of the head follows the neck

    def normal(*shape: int, scale: float) -> NDArray[np.float32]:
        return (scale * rng.normal(size=shape)).astype(np.float32)

    return Avatar(
        rest=rest,
        canonical=rest,
        faces=faces,
        expression_basis=normal(50, *rest.shape, scale=0.002),
        pose_basis=normal(36, *rest.shape, scale=0.002),
        normal_detail=normal(*rest.shape, scale=0.1),
        skin_weights=(weights / weights.sum(axis=0)).astype(np.float32),
        joints_rest=normal(5, 3, scale=0.1),
        joint_basis=normal(50, 5, 3, scale=0.001),
        texture_code=normal(rest.shape[1], CODE, scale=1.0),
        edition="openhead",
        expression_names=tuple(f"expression{index}" for index in range(50)),
    )


def write_texture(path: Path, seed: int = 3) -> None:
    """Write a network of one layer, rgb = sigmoid(W code + U normal + C condition).

    It has the interface of texture.onnx.
    """
    rng = np.random.default_rng(seed)
    inputs = {"code": ("N", CODE), "normal": ("N", 3), "condition": (1, 53)}
    weights = [
        numpy_helper.from_array(rng.normal(size=(shape[1], 3)).astype(np.float32), f"{name}_weight")
        for name, shape in inputs.items()
    ]
    nodes = [
        helper.make_node("MatMul", [name, f"{name}_weight"], [f"{name}_part"]) for name in inputs
    ]
    nodes += [
        helper.make_node("Sum", [f"{name}_part" for name in inputs], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["rgb"]),
    ]
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in inputs.items()
    ]
    rgb = helper.make_tensor_value_info("rgb", TensorProto.FLOAT, ("N", 3))
    graph = helper.make_graph(nodes, "texture", tensors, [rgb], weights)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path
    )


def tiny_student(avatar: Avatar, seed: int = 3) -> Student:
    """Return a student that computes the same function as `write_texture`.

    Each of three sums is in a pair of units of opposite sign, so that relu loses nothing.
    """
    rng = np.random.default_rng(seed)
    code, normal, condition = (
        rng.normal(size=(rows, 3)).astype(np.float32) for rows in (CODE, 3, 53)
    )

    def in_pairs(sums: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate([sums, -sums, np.zeros((*sums.shape[:-1], 10))], axis=-1).astype(
            np.float32
        )

    pairs = in_pairs(np.eye(3, dtype=np.float32))
    return Student(
        features=in_pairs(avatar.texture_code @ code),
        normal_weight=in_pairs(normal),
        condition_weight=in_pairs(condition),
        condition_bias=np.zeros(16, dtype=np.float32),
        hidden_weight=np.eye(16, dtype=np.float32),
        hidden_bias=np.zeros(16, dtype=np.float32),
        colour_weight=np.ascontiguousarray(pairs.T),
        colour_bias=np.zeros(3, dtype=np.float32),
    )


def student_case(student: Student, condition: NDArray[np.float32]) -> GoldenCase:
    feature = (
        student.features[golden_rows(len(student.features))].astype(np.float16).astype(np.float32)
    )
    directions = np.random.default_rng(6).normal(size=(len(feature), 3)).astype(np.float32)
    normal = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    inputs = {"feature": feature, "normal": normal, "condition": condition}
    colours = colours_plainly(student, feature, normal, condition)
    return GoldenCase(inputs, {"rgb": colours}, {"rgb": Tolerance(1e-5)})


def golden_cases(folder: Path, avatar: Avatar) -> dict[str, GoldenCase]:
    rng = np.random.default_rng(5)
    points = {
        "code": avatar.texture_code[:32],
        "normal": rng.normal(size=(32, 3)).astype(np.float32),
        "condition": rng.random((1, 53)).astype(np.float32),
    }
    colours = run_graph(open_session(folder / "texture.onnx"), points)
    expression = rng.random((3, 50)).astype(np.float32)
    pose = (0.2 * rng.normal(size=(3, 15))).astype(np.float32)
    posed = [pose_plainly(avatar, *frame) for frame in zip(expression, pose, strict=True)]
    moved = {
        "vertices": np.stack([frame.vertices.T for frame in posed]),
        "normals": np.stack([surface_normals(avatar, frame).T for frame in posed]),
    }
    return {
        "texture": GoldenCase(points, colours, {"rgb": Tolerance(1e-5)}),
        "animate": GoldenCase(
            {"expression": expression, "pose": pose},
            moved,
            {"vertices": Tolerance(1e-5), "normals": Tolerance(1e-3)},
        ),
        "student": student_case(tiny_student(avatar), points["condition"]),
    }


def write_tiny_folder(folder: Path) -> Path:
    folder.mkdir()
    avatar = tiny_avatar()
    write_texture(folder / "texture.onnx")
    write_student(folder, tiny_student(avatar))
    write_golden(folder, golden_cases(folder, avatar))
    write_avatar(folder, avatar, about={"graphs": ["texture.onnx"]})
    return folder
