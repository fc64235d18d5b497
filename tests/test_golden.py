"""Golden data: a correct graph passes, a modified graph fails by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from imavatar_deploy.errors import InputError
from imavatar_deploy.fidelity.golden import (
    GOLDEN_FILE,
    GoldenCase,
    check_golden,
    read_golden,
    write_golden,
)
from imavatar_deploy.fidelity.parity import Tolerance
from imavatar_deploy.onnx_session import open_session, run_graph

POINTS = np.arange(6, dtype=np.float32).reshape(2, 3)


def write_doubling_graph(path: Path, factor: float = 2.0) -> None:
    points = onnx.helper.make_tensor_value_info("points", onnx.TensorProto.FLOAT, ["N", 3])
    doubled = onnx.helper.make_tensor_value_info("doubled", onnx.TensorProto.FLOAT, ["N", 3])
    constant = onnx.helper.make_tensor("factor", onnx.TensorProto.FLOAT, [1], [factor])
    node = onnx.helper.make_node("Mul", ["points", "factor"], ["doubled"])
    graph = onnx.helper.make_graph([node], "doubling", [points], [doubled], [constant])
    onnx.save(
        onnx.helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9
        ),
        path,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_doubling_graph(tmp_path / "doubling.onnx")
    case = GoldenCase({"points": POINTS}, {"doubled": 2 * POINTS}, {"doubled": Tolerance(1e-6)})
    write_golden(tmp_path, {"doubling": case, "not_exported": case})
    return tmp_path


def test_true_graph_passes_and_absent_graphs_are_left_out(folder: Path) -> None:
    (report,) = check_golden(folder)
    assert report.passed
    assert report.subject == "doubling"


def test_false_graph_is_named(folder: Path) -> None:
    write_doubling_graph(folder / "doubling.onnx", factor=2.001)
    (report,) = check_golden(folder)
    assert report.problems().startswith("doubling.doubled differs by 5.0")


def test_golden_round_trip(folder: Path) -> None:
    case = read_golden(folder)["doubling"]
    np.testing.assert_array_equal(case.inputs["points"], POINTS)
    np.testing.assert_array_equal(case.outputs["doubled"], 2 * POINTS)
    assert case.tolerances == {"doubled": Tolerance(1e-6)}


@pytest.mark.parametrize("text", ["", "[]", '{"doubling": {"doubled": {"tolerance": 1}}}'])
def test_broken_golden_data_is_refused(folder: Path, text: str) -> None:
    (folder / GOLDEN_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="no usable golden data"):
        check_golden(folder)


def test_not_a_graph(tmp_path: Path) -> None:
    (tmp_path / "texture.onnx").write_bytes(b"not a graph")
    with pytest.raises(InputError, match="not a graph that ONNX Runtime can load"):
        open_session(tmp_path / "texture.onnx")


def test_wrong_inputs(folder: Path) -> None:
    with pytest.raises(InputError, match="cannot run on vertices"):
        run_graph(open_session(folder / "doubling.onnx"), {"vertices": POINTS})
