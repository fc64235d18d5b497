"""A tiny avatar with a texture network as the exporter writes it, and devices to draw it on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from imavatar_deploy.avatar_io import write_avatar
from imavatar_deploy.student import write_student

from ...tiny_avatar import CODE, tiny_avatar, tiny_student

WIDTHS = (40, 150, 24)
"""Widths of the layers: no multiples of the kernel's chunks, and one larger than a chunk."""


def write_layers(path: Path, widths: tuple[int, ...] = WIDTHS) -> None:
    """A texture.onnx as the exporter writes it: Gemms of point and condition, Relu, Gemm, Tanh."""
    rng = np.random.default_rng(4)
    numbers: dict[str, NDArray[np.float32]] = {"one": np.float32([1])[0], "two": np.float32([2])[0]}  # type: ignore[dict-item]

    def gemm(
        source: str, name: str, outputs: int, inputs: int, *, bias: bool = True
    ) -> onnx.NodeProto:
        weight = rng.normal(scale=2 / inputs**0.5, size=(outputs, inputs))
        numbers[f"{name}.weight"] = weight.astype(np.float32)
        if bias:
            numbers[f"{name}.bias"] = rng.normal(scale=0.2, size=outputs).astype(np.float32)
        inputs = [source, f"{name}.weight", *([f"{name}.bias"] if bias else [])]
        return helper.make_node("Gemm", inputs, [name], transB=1)

    nodes = [
        helper.make_node("Concat", ["code", "normal"], ["cat"], axis=-1),
        gemm("cat", "of_point", widths[0], CODE + 3, bias=False),
        gemm("condition", "of_condition", widths[0], 53),
        helper.make_node("Add", ["of_point", "of_condition"], ["layer0"]),
    ]
    for index, (inputs, outputs) in enumerate(zip(widths, (*widths[1:], 3), strict=True)):
        nodes.append(helper.make_node("Relu", [f"layer{index}"], [f"relu{index}"]))
        nodes.append(gemm(f"relu{index}", f"layer{index + 1}", outputs, inputs))
    nodes += [
        helper.make_node("Tanh", [f"layer{len(widths)}"], ["tanh"]),
        helper.make_node("Add", ["tanh", "one"], ["above"]),
        helper.make_node("Div", ["above", "two"], ["rgb"]),
    ]
    shapes = {"code": ("N", CODE), "normal": ("N", 3), "condition": (1, 53)}
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    ]
    rgb = helper.make_tensor_value_info("rgb", TensorProto.FLOAT, ("N", 3))
    weights = [numpy_helper.from_array(np.asarray(array), name) for name, array in numbers.items()]
    graph = helper.make_graph(nodes, "texture", inputs, [rgb], weights)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path
    )


@pytest.fixture(scope="session")
def layered_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all tests share; it must not be changed."""
    folder = tmp_path_factory.mktemp("layered")
    avatar = tiny_avatar(rings=24, sectors=32)
    write_layers(folder / "texture.onnx")
    write_student(folder, tiny_student(avatar))
    write_avatar(folder, avatar, about={})
    return folder
