"""Precision of TensorRT engines: graphs with casts to float16, where their drift is small.

Drift is measured with onnx's reference evaluator, which rounds after every operator as a GPU in
half precision does. ONNX Runtime on a CPU computes neighbouring operators in float32 and rounds
less often: at evenly spread points of the sample it shows a quarter to a half of the colours'
drift. It also hides a division by zero in the animation, whose smallest angle, 1e-8, is zero in
half precision.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Shaped
from imavatar_deploy.errors import InputError, QualityError
from imavatar_deploy.fidelity.golden import GoldenCase
from imavatar_deploy.fidelity.parity import ParityReport, Tolerance, compare
from imavatar_deploy.onnx_session import open_session, run_graph
from imavatar_deploy.optional import require

Arrays = Mapping[str, Shaped[Array, "..."]]

PRECISIONS = {
    "auto": "fp16 for each graph whose measured drift allows it",
    "fp16": "the same, and an error where the colours drift too far",
    "fp32": "no casts",
}

ROWS = 128
"""Golden points on which drift is measured; numpy needs two seconds for so many in float16."""

FP16_TOLERANCES = {"texture": {"rgb": Tolerance(1 / 510)}}
"""Graph -> output -> tolerance in half precision: half a step of eight bits.

Other outputs keep the tolerances of the golden data.
"""


@dataclass(frozen=True)
class Choice:
    """The graph that an engine is built from, and its precision."""

    precision: str
    graph: bytes
    half: ParityReport | None
    """Drift of the graph in half precision, where it was measured."""


def limits(name: str, case: GoldenCase, precision: str) -> dict[str, Tolerance]:
    """Tolerance of each output against its golden data, for an engine of this precision."""
    return {**case.tolerances, **(FP16_TOLERANCES.get(name, {}) if precision == "fp16" else {})}


def choose(name: str, graph: bytes, case: GoldenCase, precision: str) -> Choice:
    """Select the precision of a graph.

    Args:
        name: of the graph.
        graph: the ONNX file.
        case: its golden data.
        precision: `auto` uses half precision where the drift stays within `limits`; `fp16` requires
            that of colours and treats geometry like `auto`; `fp32` adds no casts.

    Raises:
        InputError: the graph is damaged.
        QualityError: `fp16` is requested, and the colours drift too far.
    """
    model = _check(name, graph)
    if precision == "fp32":
        return Choice("fp32", graph, None)
    half = with_casts(model)
    report = _drift(name, half, case)
    if report.passed:
        return Choice("fp16", half.SerializeToString(), report)
    if precision == "fp16" and name in FP16_TOLERANCES:
        raise QualityError(f"{report.problems()}; --trt-precision auto keeps such a graph in fp32")
    return Choice("fp32", graph, report)


def with_casts(model: Any) -> Any:
    """`model` with weights and intermediate values in float16; inputs and outputs stay float32."""
    half = require("onnxruntime.transformers.float16", extra="export")
    wrapper = require("onnxruntime.transformers.onnx_model", extra="export")
    with warnings.catch_warnings():
        # One warning for each constant outside the range of float16; the drift measures the effect.
        warnings.simplefilter("ignore")
        cast = wrapper.OnnxModel(half.convert_float_to_float16(model, keep_io_types=True))
    cast.topological_sort()  # the converter appends the casts of the inputs
    require("onnx", extra="export").checker.check_model(cast.model, full_check=True)
    return cast.model


def _check(name: str, graph: bytes) -> Any:
    """Load and check the graph; TensorRT's parser may read a damaged graph as an empty one."""
    onnx = require("onnx", extra="export")
    try:
        model = onnx.load_model_from_string(graph)
        onnx.checker.check_model(model, full_check=True)
    # The exceptions of protobuf, onnx and its shape inference have no common base class.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [repr(error)])[0]
        raise InputError(
            f"{name}.onnx is not a valid ONNX graph ({reason}); export it again"
        ) from error
    return model


def _drift(name: str, model: Any, case: GoldenCase) -> ParityReport:
    reference = require("onnx.reference", extra="export")
    inputs, outputs = _worst_rows(model, case)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = reference.ReferenceEvaluator(model).run(None, dict(inputs))
    computed = dict(zip((output.name for output in model.graph.output), results, strict=True))
    return compare(f"{name} in fp16", outputs, computed, limits(name, case, "fp16"))


def _worst_rows(model: Any, case: GoldenCase) -> tuple[Arrays, Arrays]:
    """The `ROWS` golden points with the largest error in ONNX Runtime, and inputs of one row."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "half.onnx"
        path.write_bytes(model.SerializeToString())
        computed = run_graph(open_session(path), case.inputs)
    errors = [
        np.abs(computed[name] - expected).reshape(len(expected), -1).max(axis=1)
        for name, expected in case.outputs.items()
    ]
    rows = np.argsort(-np.nan_to_num(np.max(errors, axis=0), nan=np.inf), kind="stable")[:ROWS]

    def select(arrays: Arrays) -> Arrays:
        return {
            name: array[rows] if len(array) == len(errors[0]) else array
            for name, array in arrays.items()
        }

    return select(case.inputs), select(case.outputs)
