"""Precision: casts written into the graph, and kept where their measured drift allows it; geometry stays float32.

The judge is onnx's reference evaluator, which rounds after every operator as a GPU in half precision does. ONNX Runtime
on a CPU computes neighbouring operators in float32 and rounds less often: at evenly spread points of the sample it
shows a quarter to a half of the colours' drift, and it hides that the animation's smallest angle, 1e-8, is zero in half
precision and is divided by.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError, QualityError
from imavatar_deploy.fidelity.golden import GoldenCase
from imavatar_deploy.fidelity.parity import ParityReport, Tolerance, compare
from imavatar_deploy.onnx_session import open_session, run_graph
from imavatar_deploy.optional import require

Arrays = Mapping[str, NDArray[Any]]

PRECISIONS = {
    "auto": "fp16 for each graph whose measured drift allows it",
    "fp16": "the same, and an error where the colours drift too far",
    "fp32": "nothing is cast",
}

ROWS = 128
"""Golden points on which drift is judged: numpy multiplies halves slowly, two seconds for these."""

LOOSER = {"texture": {"rgb": Tolerance(1 / 510)}}
"""Graph -> output -> what casts may change: half a step of eight bits. Whatever else there is keeps golden's own."""


@dataclass(frozen=True)
class Choice:
    """A graph as an engine is built of it."""

    precision: str
    graph: bytes
    half: ParityReport | None
    """How the graph with casts does, where that was tried."""


def limits(name: str, case: GoldenCase, precision: str) -> dict[str, Tolerance]:
    """Output -> how near to its golden data an engine of this precision must come."""
    return {**case.tolerances, **(LOOSER.get(name, {}) if precision == "fp16" else {})}


def choose(name: str, graph: bytes, case: GoldenCase, wanted: str) -> Choice:
    """The graph in the precision that was `wanted`.

    `auto` takes half where it stays within `limits`; `fp16` insists on it for colours, and geometry stays as in `auto`.

    Raises:
        InputError: the graph is damaged.
        QualityError: half precision was wanted by name, and the colours drift too far.
    """
    model = _checked(name, graph)
    if wanted == "fp32":
        return Choice("fp32", graph, None)
    half = with_casts(model)
    report = _drift(name, half, case)
    if report.passed:
        return Choice("fp16", half.SerializeToString(), report)
    if wanted == "fp16" and name in LOOSER:
        raise QualityError(f"{report.problems()}; --trt-precision auto keeps such a graph in fp32")
    return Choice("fp32", graph, report)


def with_casts(model: Any) -> Any:
    """`model` with weights and what flows between operators in float16; inputs and outputs stay float32."""
    half = require("onnxruntime.transformers.float16", extra="export")
    tidy = require("onnxruntime.transformers.onnx_model", extra="export")
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # every constant that half precision cannot hold; the drift tells what it costs
        cast = tidy.OnnxModel(half.convert_float_to_float16(model, keep_io_types=True))
    cast.topological_sort()  # the casts of the inputs come last
    require("onnx", extra="export").checker.check_model(cast.model, full_check=True)
    return cast.model


def _checked(name: str, graph: bytes) -> Any:
    """The graph, which TensorRT's parser may take for an empty one if it is damaged."""
    onnx = require("onnx", extra="export")
    try:
        model = onnx.load_model_from_string(graph)
        onnx.checker.check_model(model, full_check=True)
    except (
        Exception
    ) as error:  # protobuf's, onnx's and the shape inference's exceptions share no base
        reason = (str(error).strip().splitlines() or [repr(error)])[0]
        raise InputError(
            f"{name}.onnx is not a sound ONNX graph ({reason}); export it again"
        ) from error
    return model


def _drift(name: str, model: Any, case: GoldenCase) -> ParityReport:
    reference = require("onnx.reference", extra="export")
    inputs, outputs = _worst_rows(model, case)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = reference.ReferenceEvaluator(model).run(None, dict(inputs))
    given = dict(zip((output.name for output in model.graph.output), answers, strict=True))
    return compare(f"{name} in fp16", outputs, given, limits(name, case, "fp16"))


def _worst_rows(model: Any, case: GoldenCase) -> tuple[Arrays, Arrays]:
    """The `ROWS` golden points at which ONNX Runtime already sees the most; what is one for all points stays whole."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "half.onnx"
        path.write_bytes(model.SerializeToString())
        given = run_graph(open_session(path), case.inputs)
    errors = [
        np.abs(given[name] - wanted).reshape(len(wanted), -1).max(axis=1)
        for name, wanted in case.outputs.items()
    ]
    rows = np.argsort(-np.nan_to_num(np.max(errors, axis=0), nan=np.inf), kind="stable")[:ROWS]

    def of_rows(side: Arrays) -> Arrays:
        return {
            name: array[rows] if len(array) == len(errors[0]) else array
            for name, array in side.items()
        }

    return of_rows(case.inputs), of_rows(case.outputs)
