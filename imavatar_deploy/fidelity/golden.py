"""Golden data: inputs and expected outputs of each graph, to verify it on any machine.

An export writes them with torch; `check_golden` needs ONNX Runtime alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from imavatar_deploy.arrays import Array, Int64, Shaped
from imavatar_deploy.errors import InputError, excerpt
from imavatar_deploy.onnx_session import open_session, run_graph

from .parity import ParityReport, Tolerance, compare

GOLDEN_ARRAYS_FILE = "golden/golden.safetensors"
"""Path of the inputs and outputs in an avatar folder."""

GOLDEN_FILE = "golden/golden.json"
"""Path in an avatar folder of the golden cases: the tolerance of each output of each graph."""

CASE_POINTS = 1024
"""Number of vertices in a golden case of a graph that computes single points."""


@dataclass(frozen=True)
class GoldenCase:
    """Inputs of a graph, the outputs of the networks for them, and the tolerance of each output."""

    inputs: Mapping[str, Shaped[Array, "..."]]
    outputs: Mapping[str, Shaped[Array, "..."]]
    tolerances: Mapping[str, Tolerance]


def golden_rows(vertices: int) -> Int64[Array, " N"]:
    """Return the indices `[N]` of the vertices in golden cases, spread evenly over the mesh."""
    return np.linspace(0, vertices - 1, min(CASE_POINTS, vertices)).astype(np.int64)


def write_golden(folder: Path, cases: Mapping[str, GoldenCase]) -> None:
    """Write one case for each graph into an avatar folder; cases of other graphs stay.

    Args:
        cases: name of the graph without `.onnx` -> its case.
    """
    (folder / "golden").mkdir(exist_ok=True)
    cases = {**(read_golden(folder) if (folder / GOLDEN_FILE).is_file() else {}), **cases}
    arrays = {
        f"{graph}/{side}/{name}": np.ascontiguousarray(array)
        for graph, case in cases.items()
        for side, named in (("inputs", case.inputs), ("outputs", case.outputs))
        for name, array in named.items()
    }
    (folder / GOLDEN_ARRAYS_FILE).write_bytes(save(arrays))
    limits = {
        graph: {name: asdict(t) for name, t in case.tolerances.items()}
        for graph, case in cases.items()
    }
    (folder / GOLDEN_FILE).write_text(json.dumps(limits, indent=2) + "\n", encoding="utf-8")


def read_golden(folder: Path) -> dict[str, GoldenCase]:
    """Read the golden cases of an avatar folder, by name of the graph.

    Raises:
        InputError: the golden data is missing or inconsistent.
    """
    if not (folder / GOLDEN_FILE).is_file():
        raise InputError(
            f"{folder} holds no graphs to verify; "
            "export it again with --format player, student or onnx"
        )
    try:
        limits = json.loads((folder / GOLDEN_FILE).read_text(encoding="utf-8"))
        arrays = load_file(folder / GOLDEN_ARRAYS_FILE)
        return {
            graph: GoldenCase(
                _side(arrays, graph, "inputs"),
                _side(arrays, graph, "outputs"),
                {name: Tolerance(**limit) for name, limit in named.items()},
            )
            for graph, named in limits.items()
        }
    except Exception as error:
        raise InputError(
            f"{folder} has no usable golden data ({excerpt(repr(error))}); export the avatar again"
        ) from error


def _side(arrays: Mapping[str, Any], graph: str, side: str) -> dict[str, Any]:
    prefix = f"{graph}/{side}/"
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def check_golden(folder: Path) -> list[ParityReport]:
    """Run every graph of `folder` that has a golden case in ONNX Runtime and compare its outputs.

    Raises:
        InputError: the golden data or a graph cannot be read, or a graph fails.
        MissingDependencyError: onnxruntime is not installed.
    """
    return [
        compare(
            graph,
            case.outputs,
            run_graph(open_session(folder / f"{graph}.onnx"), case.inputs),
            case.tolerances,
        )
        for graph, case in read_golden(folder).items()
        if (folder / f"{graph}.onnx").is_file()
    ]
