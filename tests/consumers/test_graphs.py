"""The graphs of the bundled avatar in onnxruntime-web and OpenVINO, compared with ONNX Runtime.

What is absent is skipped, as in `test_consumers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.exporters.formats.onnx_export import Graph, write_graph
from imavatar_deploy.exporters.student.network import PlainStudent
from imavatar_deploy.onnx_session import open_session, run_graph
from imavatar_deploy.student import read_student

from .page import run_page
from .programs import run_python_program

TOLERANCE = 1e-4
"""Largest difference of a colour channel, 0..1; that of a graph from the networks, too."""

POINTS = 500


class Subject(NamedTuple):
    path: Path
    inputs: Mapping[str, Float32[Array, "_ _"]]
    rgb: Float32[Array, "N 3"]
    """By ONNX Runtime."""


@pytest.fixture(scope="module", params=["texture", "student"])
def graph(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder = open_avatar("sample")
    rng = np.random.default_rng(4)
    directions = rng.normal(size=(POINTS, 3)).astype(np.float32)
    inputs = {
        "normal": directions / np.linalg.norm(directions, axis=1, keepdims=True),
        "condition": rng.random((1, 53)).astype(np.float32),
    }
    if request.param == "texture":
        path = folder.file("texture.onnx")
        inputs["code"] = folder.avatar.texture_code[:POINTS]
    else:
        torch = pytest.importorskip("torch")
        student = read_student(folder)
        inputs["feature"] = student.features[:POINTS]
        path = tmp_path_factory.mktemp("graphs") / "student.onnx"
        examples = (torch.zeros(2, student.width), torch.zeros(2, 3), torch.zeros(1, 53))
        names = ("feature", "normal", "condition")
        described = Graph(PlainStudent(student), examples, dict.fromkeys(names, ""), {"rgb": ""})
        write_graph(described, path, {})
    (rgb,) = run_graph(open_session(path), inputs).values()
    return Subject(path, inputs, rgb)


def test_onnxruntime_web_computes_the_same(graph: Subject, tmp_path: Path) -> None:
    inputs = {
        name: {"values": array.ravel().tolist(), "shape": list(array.shape)}
        for name, array in graph.inputs.items()
    }
    request = {"file": "graph.onnx", "inputs": inputs}
    files = {"graph.onnx": graph.path}
    result = run_page("onnxruntime-web", "onnx_page.mjs", request, files, tmp_path / "profile")
    assert result["shape"] == [POINTS, 3]
    rgb = np.array(result["values"]).reshape(POINTS, 3)
    assert np.abs(rgb - graph.rgb).max() <= TOLERANCE


def test_openvino_computes_the_same(graph: Subject, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", **graph.inputs)
    arguments = (graph.path, tmp_path / "in.npz", tmp_path / "out.npz")
    result = run_python_program("openvino", "openvino_graph.py", *arguments)
    assert np.abs(result["output"] - graph.rgb).max() <= TOLERANCE
