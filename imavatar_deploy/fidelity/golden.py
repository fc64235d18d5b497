"""Golden data: what each graph must compute, written at export by torch and re-checked anywhere without it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from imavatar_deploy.errors import InputError
from imavatar_deploy.onnx_session import open_session, run_graph

from .parity import ParityReport, Tolerance, compare

Array = NDArray[Any]
ARRAYS = "golden/golden.safetensors"
TOLERANCES = "golden/golden.json"


@dataclass(frozen=True)
class GoldenCase:
    """Inputs of a graph, the outputs that the networks give for them, and how near a runtime must come."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    tolerances: Mapping[str, Tolerance]


POINTS = 1024
"""Vertices of a golden case of points."""


def golden_rows(vertices: int) -> NDArray[np.int64]:
    """[N] the vertices that golden cases of points are about, spread over the whole mesh."""
    return np.linspace(0, vertices - 1, min(POINTS, vertices)).astype(np.int64)


def write_golden(folder: Path, cases: Mapping[str, GoldenCase]) -> None:
    """Store one case for each graph, by the graph's name without `.onnx`; cases of other graphs stay."""
    (folder / "golden").mkdir(exist_ok=True)
    cases = {**(read_golden(folder) if (folder / TOLERANCES).is_file() else {}), **cases}
    arrays = {
        f"{graph}/{side}/{name}": np.ascontiguousarray(array)
        for graph, case in cases.items()
        for side, named in (("inputs", case.inputs), ("outputs", case.outputs))
        for name, array in named.items()
    }
    (folder / ARRAYS).write_bytes(save(arrays))
    limits = {
        graph: {name: asdict(t) for name, t in case.tolerances.items()}
        for graph, case in cases.items()
    }
    (folder / TOLERANCES).write_text(json.dumps(limits, indent=2) + "\n", encoding="utf-8")


def read_golden(folder: Path) -> dict[str, GoldenCase]:
    """The golden cases of an avatar folder, by graph.

    Raises:
        InputError: the golden data is missing or does not belong together.
    """
    if not (folder / TOLERANCES).is_file():
        raise InputError(
            f"{folder} holds no graphs to verify; export it again with --format player, student or onnx"
        )
    try:
        limits = json.loads((folder / TOLERANCES).read_text(encoding="utf-8"))
        arrays = load_file(folder / ARRAYS)
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
            f"{folder} has no usable golden data ({error!r}); export the avatar again"
        ) from error


def _side(arrays: Mapping[str, Array], graph: str, side: str) -> dict[str, Array]:
    prefix = f"{graph}/{side}/"
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def check_golden(folder: Path) -> list[ParityReport]:
    """Run every graph in `folder` that has a golden case in ONNX Runtime and compare with what it should compute."""
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
