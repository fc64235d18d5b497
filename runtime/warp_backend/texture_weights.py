"""TextureWeights: the full texture network's weights, read from an avatar's `texture.onnx`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.errors import InputError
from imavatar_deploy.optional import require

FIRST_LAYER = ("Concat", "Gemm", "Gemm", "Add")
"""Operators of the first layer: of the point, of the condition, and their sum."""

FURTHER_LAYER = ("Relu", "Gemm")
"""Operators of every further layer."""

COLOUR_LAYER = ("Tanh", "Add", "Div")
"""Operators of the colour."""


@dataclass(frozen=True)
class TextureWeights:
    """Weights of the texture network.

    rgb = (tanh(layers(relu([code, normal] first + condition of_condition + bias))) + 1) / 2, where
    `layers` are further affine maps with a relu between two of them.
    """

    first: Float32[Array, "_ H"]  # [K + 3, H]
    of_condition: Float32[Array, "53 H"]
    bias: Float32[Array, " H"]  # of the first layer
    layers: tuple[tuple[Float32[Array, "_ _"], Float32[Array, " _"]], ...]
    """Weight `[inputs, outputs]` and bias `[outputs]` of each; the last has 3 outputs."""

    def constant(self, condition: Float32[Array, "1 53"]) -> Float32[Array, " H"]:
        """Term `[H]` of a condition `[1, 53]` in the first layer, the same for every point."""
        return np.asarray(condition[0] @ self.of_condition + self.bias, dtype=np.float32)

    @property
    def flops(self) -> int:
        """Multiplications and additions for one point."""
        return 2 * (self.first.size + sum(weight.size for weight, _ in self.layers))


def read_texture(path: Path, code_size: int) -> TextureWeights:
    """Read the weights in an avatar's `texture.onnx`.

    Raises:
        InputError: the graph cannot be read, or has another layout.
        MissingDependencyError: the package onnx is not installed.
    """
    onnx = require("onnx", extra="cuda")
    try:
        graph = onnx.load(str(path)).graph
        numbers = {entry.name: onnx.numpy_helper.to_array(entry) for entry in graph.initializer}
    except Exception as error:  # of protobuf
        raise InputError(
            f"{path} is not an ONNX graph ({error}); export the avatar again"
        ) from error
    if not _is_ours(graph, numbers):
        raise InputError(
            f"{path} does not have the layout of this package's texture networks; draw with "
            "--backend onnx-cuda or cpu"
        )
    gemms = [
        [numbers[name].astype(np.float32) for name in node.input[1:]]
        for node in graph.node
        if _is(node, "Gemm")
    ]
    (first, *_), (of_condition, bias), *layers = gemms
    if first.shape[1] != code_size + 3:
        raise InputError(
            f"{path} takes codes of {first.shape[1] - 3} numbers, the avatar has {code_size}; "
            "export it again"
        )
    return TextureWeights(
        first.T, of_condition.T, bias, tuple((weight.T, bias) for weight, bias in layers)
    )


def _is(node: Any, kind: str) -> bool:
    return bool(node.op_type == kind)


def _is_ours(graph: Any, numbers: dict[str, Any]) -> bool:
    """Whether the operators are the exporter's, in its order, without other attributes."""
    nodes = list(graph.node)
    further = len(nodes) - len(FIRST_LAYER) - len(COLOUR_LAYER)
    if further < 2 or tuple(node.op_type for node in nodes) != (
        *FIRST_LAYER,
        *FURTHER_LAYER * (further // 2),
        *COLOUR_LAYER,
    ):
        return False
    gemms = [node for node in nodes if _is(node, "Gemm")]
    *_, one, two = nodes
    return (
        _is_a_chain(nodes)
        and all(name in numbers for node in gemms for name in node.input[1:])
        and [len(node.input) for node in gemms] == [2] + [3] * (len(gemms) - 1)
        and [numbers.get(node.input[1]) for node in (one, two)] == [1.0, 2.0]
        and all(map(_is_plain, gemms))
    )


def _is_a_chain(nodes: list[Any]) -> bool:
    """Whether the first layer sums point and condition, and each node feeds the next."""
    concat, of_point, of_condition, total, *_ = nodes
    feeds = [
        (concat, ["code", "normal"]),
        (of_point, [concat.output[0]]),
        (of_condition, ["condition"]),
        (total, [of_point.output[0], of_condition.output[0]]),
        *((node, [before.output[0]]) for before, node in pairwise(nodes[3:])),
    ]
    return all(list(node.input[: len(names)]) == names for node, names in feeds)


def _is_plain(gemm: Any) -> bool:
    """Whether a Gemm computes x W^T + b."""
    attributes = {attribute.name: attribute for attribute in gemm.attribute}
    scaled = any(attributes[name].f != 1.0 for name in ("alpha", "beta") if name in attributes)
    transposed_input = "transA" in attributes and attributes["transA"].i
    transposed_weight = "transB" in attributes and bool(attributes["transB"].i)
    return not scaled and not transposed_input and transposed_weight
