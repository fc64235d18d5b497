"""Export torch modules as ONNX graphs with a free first axis and documented inputs and outputs."""

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

NO_AXES = "noop_with_empty_axes"
"""Attribute of reductions for a case that our graphs do not have."""

OPSET = 18
"""Default ONNX opset. TensorRT and ONNX Runtime's CUDA provider both support 18 to 20."""


@dataclass(frozen=True)
class Graph:
    """One graph to write.

    Args:
        module: computes the outputs from the inputs.
        examples: example inputs. An input whose example has one row keeps that size; the first
            axis of any other is free, with N = 2 in the example.
        inputs: name -> description, in the order of `examples`.
        outputs: name -> description.
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


def write_graph(graph: Graph, path: Path, metadata: Mapping[str, str], opset: int = OPSET) -> None:
    """Export `graph` to `path`.

    Args:
        graph: the module and its inputs and outputs.
        path: the file to write.
        metadata: entries of the file's metadata, besides the descriptions.
        opset: version of ONNX's operators, for engines that do not support `OPSET`.

    Raises:
        InternalError: the exported graph has a fixed first axis, or other names.
    """
    onnx = require("onnx", extra="export")
    model = _of_opset(_export(graph), opset)
    _check_free(graph, model)
    descriptions = {f"input.{name}": text for name, text in graph.inputs.items()}
    descriptions |= {f"output.{name}": text for name, text in graph.outputs.items()}
    _remove_traces(model)
    onnx.helper.set_model_props(model, {**metadata, **descriptions})
    onnx.checker.check_model(model)
    onnx.save_model(model, str(path))


def _export(graph: Graph) -> Any:
    require("onnxscript", extra="export")
    count = torch.export.Dim("N", min=1)
    shapes = tuple({0: count} if name in graph.free_inputs else None for name in graph.inputs)
    with _quiet():
        traced = torch.export.export(graph.module.eval(), graph.examples, dynamic_shapes=shapes)
        program = torch.onnx.export(
            traced.run_decompositions(_only_einsum()),
            dynamo=True,
            dynamic_shapes=shapes,  # names the axis
            opset_version=OPSET,
            external_data=False,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            verbose=False,
        )
    if program is None:
        raise InternalError("torch.onnx.export returned no program")
    return program.model_proto


def _of_opset(model: Any, opset: int) -> Any:
    """The model with the operators of an opset, and the oldest format of files that can hold it."""
    if opset == OPSET:
        return model
    onnx = require("onnx", extra="export")
    require("onnx.version_converter", extra="export")
    converted = onnx.version_converter.convert_version(model, opset)
    for node in converted.graph.node:
        # The converter leaves it on reductions, which have it from opset 18 on; ReduceSum from 13.
        if opset < OPSET and node.op_type.startswith("Reduce") and node.op_type != "ReduceSum":
            attributes = [entry for entry in node.attribute if entry.name != NO_AXES]
            node.ClearField("attribute")
            node.attribute.extend(attributes)
    converted.ir_version = onnx.helper.find_min_ir_version_for(converted.opset_import)
    return converted


def _only_einsum() -> dict[Any, Any]:
    """Decomposition of Einsum, which many platforms lack, into MatMul.

    The other operators stay: Softplus, for instance, is numerically safe as an operator.
    """
    einsum = torch.ops.aten.einsum.default
    return {einsum: torch.export.default_decompositions()[einsum]}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's messages, which do not concern the user."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _remove_traces(model: Any) -> None:
    """Remove the exporter's traces, which hold local paths and double the size of a small graph."""
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
    """Check names and the free first axis in the exported graph.

    Raises:
        InternalError: they differ from `graph`.
    """
    values = {
        value.name: value.type.tensor_type.shape.dim[0]
        for value in [*model.graph.input, *model.graph.output]
    }
    expected = {*graph.inputs, *graph.outputs}
    if values.keys() != expected:
        raise InternalError(f"the exported graph has {sorted(values)}, expected {sorted(expected)}")
    frozen = [name for name in (*graph.free_inputs, *graph.outputs) if not values[name].dim_param]
    if frozen:
        raise InternalError(f"the exporter froze the first axis of {', '.join(frozen)}")
