"""Torch modules -> ONNX graphs with a free first axis, checked for that, and with what they mean in their metadata."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from imavatar_deploy.errors import InternalError
from imavatar_deploy.optional import require

OPSET = 18
"""18 to 20 are the band that TensorRT and ONNX Runtime's CUDA provider both take."""


@dataclass(frozen=True)
class Graph:
    """One graph to write: the module, example inputs with N = 2 on every free axis, and what goes in and out.

    `inputs` and `outputs` map names to a sentence; an input whose example has one row only is fixed at that.
    """

    module: nn.Module
    examples: tuple[Tensor, ...]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def free_inputs(self) -> list[str]:
        """Inputs whose first axis is N."""
        return [
            name
            for name, example in zip(self.inputs, self.examples, strict=True)
            if len(example) > 1
        ]


def write_graph(graph: Graph, path: Path, metadata: Mapping[str, str]) -> None:
    """Export `graph` to `path`.

    Raises:
        InternalError: the exporter froze the number of points, or renamed something.
    """
    onnx = require("onnx", extra="export")
    model = _exported(graph)
    _check_free(graph, model)
    meaning = {f"input.{name}": text for name, text in graph.inputs.items()}
    meaning |= {f"output.{name}": text for name, text in graph.outputs.items()}
    _forget_origin(model)
    onnx.helper.set_model_props(model, {**metadata, **meaning})
    onnx.checker.check_model(model)
    onnx.save_model(model, str(path))


def _exported(graph: Graph) -> Any:
    require("onnxscript", extra="export")
    count = torch.export.Dim("N", min=1)
    shapes = tuple({0: count} if name in graph.free_inputs else None for name in graph.inputs)
    with _quiet():
        traced = torch.export.export(graph.module.eval(), graph.examples, dynamic_shapes=shapes)
        program = torch.onnx.export(
            traced.run_decompositions(_only_einsum()),
            dynamo=True,
            dynamic_shapes=shapes,  # gives the axis its name
            opset_version=OPSET,
            external_data=False,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            verbose=False,
        )
    if program is None:
        raise InternalError("torch.onnx.export returned no program")
    return program.model_proto


def _only_einsum() -> dict[Any, Any]:
    """What turns Einsum, which many platforms lack, into MatMul; the other operators stay (Softplus has a safe one)."""
    einsum = torch.ops.aten.einsum.default
    return {einsum: torch.export.default_decompositions()[einsum]}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks about its own inner life from the user."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _forget_origin(model: Any) -> None:
    """Drop the exporter's traces: they hold paths of this machine and double the size of a small graph."""
    graph = model.graph
    for part in (
        model,
        graph,
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.initializer,
        *graph.value_info,
    ):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def _check_free(graph: Graph, model: Any) -> None:
    """The promise of a free first axis, read back from the graph itself."""
    values = {
        value.name: value.type.tensor_type.shape.dim[0]
        for value in [*model.graph.input, *model.graph.output]
    }
    wanted = {*graph.inputs, *graph.outputs}
    if values.keys() != wanted:
        raise InternalError(f"the exported graph has {sorted(values)}, expected {sorted(wanted)}")
    frozen = [name for name in (*graph.free_inputs, *graph.outputs) if not values[name].dim_param]
    if frozen:
        raise InternalError(f"the exporter froze the first axis of {', '.join(frozen)}")
