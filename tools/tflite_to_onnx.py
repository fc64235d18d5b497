"""Conversion of the four TFLite networks of `imavatar_deploy.vision` to ONNX.

Only the operators that these networks use are known; another operator, or an option that they do
not use, raises. Activations of images are NHWC in TFLite and NCHW in ONNX: `Converter` keeps every
four-dimensional tensor transposed, and transposes back where a shape changes. A network of
matrices (the blendshapes') keeps TFLite's layout, and its 1 x 1 convolutions become matrix
products.

The weights of all four are float16 in the originals. They are stored as float16, followed by a
`Cast` that ONNX Runtime computes once, when it loads the graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Values = NDArray[Any]

OPSET = 13
IR_VERSION = 8
OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
ELEMENTS = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT32: np.int32,
}
SAME, RELU = schema.Padding.SAME, schema.ActivationFunctionType.RELU
BINARY = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div"}
UNARY = {"RELU": "Relu", "LOGISTIC": "Sigmoid", "SQRT": "Sqrt", "NEG": "Neg"}


def read_model(data: bytes) -> Any:
    """Return a TFLite file as the objects of its schema."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))


def operator_name(model: Any, operator: Any) -> str:
    """Return TFLite's name of an operator; a custom one has its own."""
    code = model.operatorCodes[operator.opcodeIndex]
    name = OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]
    return code.customCode.decode() if name == "CUSTOM" else name


def constant(model: Any, index: int) -> Values | None:
    """Return the values of a constant tensor, or None for one that is computed."""
    tensor = model.subgraphs[0].tensors[index]
    data = model.buffers[tensor.buffer].data
    if data is None or len(data) == 0:
        return None
    shape = [] if tensor.shape is None else list(tensor.shape)
    return np.frombuffer(bytes(data), ELEMENTS[tensor.type]).reshape(shape)


class Converter:
    """One TFLite network and the ONNX graph that is made of it.

    Args:
        model: what `read_model` returns.
        images: keep four-dimensional activations as NCHW.
    """

    def __init__(self, model: Any, *, images: bool) -> None:
        self.model = model
        self.graph = model.subgraphs[0]
        self.images = images
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.constants: dict[int, Values] = {}  # float16 weights behind a DEQUANTIZE, by its output
        self.names: dict[int, str] = {}  # ONNX name of each TFLite tensor

    # building blocks

    def emit(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """Append a node with one output and return the output's name."""
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def initializer(self, values: Values) -> str:
        """Append an initialiser and return its name."""
        name = f"w{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weights(self, values: Values) -> str:
        """Return the name of constant float32 values, stored as float16 where nothing is lost."""
        half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            return self.initializer(values)
        return self.emit("Cast", [self.initializer(half)], to=TensorProto.FLOAT)

    def values(self, index: int) -> Values:
        """Return a constant input as float32 or int32."""
        values = self.constants.get(index, constant(self.model, index))
        if values is None:
            raise ValueError(f"tensor {index} is not constant")
        return values.astype(np.float32) if values.dtype == np.float16 else values

    def is_constant(self, index: int) -> bool:
        """Whether a tensor's values are in the file."""
        return index in self.constants or constant(self.model, index) is not None

    def value(self, index: int) -> str:
        """Return the ONNX name of a TFLite tensor; a constant becomes an initialiser."""
        if index not in self.names:
            values = self.values(index)
            channels_first = self.images and values.ndim == 4
            self.names[index] = self.weights(
                values.transpose(0, 3, 1, 2) if channels_first else values
            )
        return self.names[index]

    def shape(self, index: int) -> list[int]:
        """Return a tensor's shape in TFLite's layout."""
        shape = self.graph.tensors[index].shape
        return [] if shape is None else [int(size) for size in shape]

    def channels_first(self, index: int) -> bool:
        """Whether a tensor's ONNX form is transposed."""
        return self.images and len(self.shape(index)) == 4

    def channels_last(self, index: int) -> str:
        """Return a tensor's name in TFLite's layout."""
        name = self.value(index)
        return (
            self.emit("Transpose", [name], perm=[0, 2, 3, 1])
            if self.channels_first(index)
            else name
        )

    # the graph

    def convert(self, name: str, input_name: str, output_names: list[str]) -> onnx.ModelProto:
        """Return the ONNX model.

        Inputs and outputs keep TFLite's layout and element type.

        Args:
            name: of the graph.
            input_name: of its only input.
            output_names: of its outputs, in TFLite's order; an empty name leaves an output out.
        """
        (source,) = map(int, self.graph.inputs)
        self.names[source] = (
            self.emit("Transpose", [input_name], perm=[0, 3, 1, 2])
            if self.channels_first(source)
            else input_name
        )
        for operator in self.graph.operators:
            kind = operator_name(self.model, operator)
            inputs, outputs = [int(i) for i in operator.inputs], [int(i) for i in operator.outputs]
            if kind == "DEQUANTIZE":
                self.constants[outputs[0]] = self.values(inputs[0])
                continue
            handler: Callable[..., str] | None = getattr(self, f"op_{kind.lower()}", None)
            if handler is not None:
                result = handler(operator.builtinOptions, inputs, outputs[0])
            elif kind in BINARY:
                result = self.binary(BINARY[kind], operator.builtinOptions, inputs)
            elif kind in UNARY:
                result = self.emit(UNARY[kind], [self.value(inputs[0])])
            else:
                raise ValueError(f"operator {kind} is not known")
            self.names[outputs[0]] = result
        results = []
        for index, output in zip(map(int, self.graph.outputs), output_names, strict=True):
            if output:
                self.nodes.append(
                    helper.make_node("Identity", [self.channels_last(index)], [output])
                )
                results.append(self.description(output, index))
        graph = helper.make_graph(
            used_nodes(self.nodes, [result.name for result in results]),
            name,
            [self.description(input_name, source)],
            results,
        )
        used = {name for node in graph.node for name in node.input}
        graph.initializer.extend(w for w in self.initializers if w.name in used)
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="imavatar-deploy"
        )

    def description(self, name: str, index: int) -> onnx.ValueInfoProto:
        """Return name, element type and shape of an input or output."""
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, self.shape(index))

    def activated(self, name: str, function: int) -> str:
        """Return a value after the activation that TFLite fuses into its operator."""
        if function == RELU:
            return self.emit("Relu", [name])
        if function:
            raise ValueError(f"fused activation {function} is not known")
        return name

    def pads(self, options: Any, kernel: tuple[int, int], source: int, target: int) -> list[int]:
        """Return ONNX's padding [top, left, bottom, right] for TFLite's SAME or VALID."""
        if options.padding != SAME:
            return [0, 0, 0, 0]
        sizes = zip(self.shape(source)[1:3], self.shape(target)[1:3], strict=True)
        strides = (options.strideH, options.strideW)
        totals = [
            max((after - 1) * stride + size - before, 0)
            for (before, after), stride, size in zip(sizes, strides, kernel, strict=True)
        ]
        before = [total // 2 for total in totals]
        return before + [total - half for total, half in zip(totals, before, strict=True)]

    # operators: (options, inputs, output) -> name of the result

    def op_conv_2d(self, options: Any, inputs: list[int], output: int) -> str:
        """Convolution; a matrix product in a network of matrices."""
        kernel = self.values(inputs[1])  # [out, height, width, in]
        bias = self.values(inputs[2])
        if not self.images:
            matrix = self.weights(kernel.reshape(len(kernel), -1).T)
            product = self.emit("MatMul", [self.value(inputs[0]), matrix])
            result = self.emit("Add", [product, self.weights(bias)])
        else:
            result = self.convolution(
                options, kernel.transpose(0, 3, 1, 2), bias, inputs[0], output
            )
        return self.activated(result, options.fusedActivationFunction)

    def op_depthwise_conv_2d(self, options: Any, inputs: list[int], output: int) -> str:
        """Convolution of each channel by itself."""
        kernel = self.values(inputs[1]).transpose(3, 0, 1, 2)  # [1, height, width, channels]
        bias = self.values(inputs[2])
        result = self.convolution(options, kernel, bias, inputs[0], output, group=len(kernel))
        return self.activated(result, options.fusedActivationFunction)

    def convolution(
        self,
        options: Any,
        kernel: Values,
        bias: Values,
        source: int,
        output: int,
        group: int = 1,
    ) -> str:
        """Emit an ONNX convolution of `kernel` [out, in / group, height, width]."""
        if options.dilationHFactor != 1 or options.dilationWFactor != 1:
            raise ValueError("dilated convolutions are not known")
        size = (kernel.shape[2], kernel.shape[3])
        inputs = [self.value(source), self.weights(kernel), self.weights(bias)]
        return self.emit(
            "Conv",
            inputs,
            group=group,
            kernel_shape=size,
            strides=[options.strideH, options.strideW],
            pads=self.pads(options, size, source, output),
        )

    def op_convolution2dtransposebias(self, _options: Any, inputs: list[int], output: int) -> str:
        """MediaPipe's transposed convolution with bias; 2 x 2 with stride 2, without overlap."""
        kernel = self.values(inputs[1])  # [out, height, width, in]
        doubled = [2 * size for size in self.shape(inputs[0])[1:3]]
        if kernel.shape[1:3] != (2, 2) or self.shape(output)[1:3] != doubled:
            raise ValueError("this transposed convolution is not known")
        weights = self.weights(kernel.transpose(3, 0, 1, 2))
        bias = self.weights(self.values(inputs[2]))
        return self.emit("ConvTranspose", [self.value(inputs[0]), weights, bias], strides=[2, 2])

    def op_prelu(self, _options: Any, inputs: list[int], _output: int) -> str:
        """Leaky ReLU with a slope for each channel, as a x + (1 - a) relu(x).

        The products are 1 x 1 convolutions of each channel by itself. ONNX Runtime keeps these in
        the blocked layout of its convolutions and adds in the same pass; around its own `PRelu` it
        reorders the whole tensor, and the network of landmarks takes six times as long.
        """
        source, channels = self.value(inputs[0]), self.shape(inputs[0])[-1]
        slope = self.weights(self.values(inputs[1]).reshape(-1, 1, 1, 1))
        rest = self.emit("Sub", [self.weights(np.ones(1, np.float32)), slope])
        scale: dict[str, Any] = {"group": channels, "kernel_shape": [1, 1]}
        positive = self.emit("Conv", [self.emit("Relu", [source]), rest], **scale)
        return self.emit("Add", [self.emit("Conv", [source, slope], **scale), positive])

    def op_hard_swish(self, _options: Any, inputs: list[int], _output: int) -> str:
        """x * min(max(x / 6 + 1/2, 0), 1)."""
        source = self.value(inputs[0])
        gate = self.emit("HardSigmoid", [source], alpha=1 / 6, beta=0.5)
        return self.emit("Mul", [source, gate])

    def op_max_pool_2d(self, options: Any, inputs: list[int], output: int) -> str:
        """Maximum over windows; with TFLite's padding on even sizes nothing is padded."""
        size = (options.filterHeight, options.filterWidth)
        if any(self.pads(options, size, inputs[0], output)):
            raise ValueError("padded pooling is not known")
        strides = [options.strideH, options.strideW]
        return self.emit("MaxPool", [self.value(inputs[0])], kernel_shape=size, strides=strides)

    def op_average_pool_2d(self, options: Any, inputs: list[int], _output: int) -> str:
        """Mean over the whole image."""
        if [options.filterHeight, options.filterWidth] != self.shape(inputs[0])[1:3]:
            raise ValueError("average pooling of windows is not known")
        return self.emit("GlobalAveragePool", [self.value(inputs[0])])

    def op_resize_bilinear(self, options: Any, inputs: list[int], output: int) -> str:
        """Bilinear enlargement with pixel centres at half-integers."""
        if options.alignCorners or not options.halfPixelCenters:
            raise ValueError("this resize is not known")
        height, width = self.shape(inputs[0])[1:3]
        scales = [1, 1, self.shape(output)[1] / height, self.shape(output)[2] / width]
        factors = self.initializer(np.array(scales, np.float32))
        return self.emit(
            "Resize",
            [self.value(inputs[0]), "", factors],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )

    def op_pad(self, _options: Any, inputs: list[int], _output: int) -> str:
        """Zeros appended to the channels."""
        padding = self.values(inputs[1])
        if not self.channels_first(inputs[0]) or padding[:3].any() or padding[3, 0]:
            raise ValueError("padding other than of the channels is not known")
        order = [0, 3, 1, 2]
        pads = np.concatenate([padding[order, 0], padding[order, 1]]).astype(np.int64)
        return self.emit("Pad", [self.value(inputs[0]), self.initializer(pads)])

    def op_reshape(self, _options: Any, inputs: list[int], output: int) -> str:
        """Reshape in TFLite's layout."""
        if self.channels_first(output):
            raise ValueError("a reshape to an image is not known")
        shape = self.initializer(np.array(self.shape(output), np.int64))
        return self.emit("Reshape", [self.channels_last(inputs[0]), shape])

    def op_concatenation(self, options: Any, inputs: list[int], output: int) -> str:
        """Concatenation of tensors that are not images."""
        if self.channels_first(output):
            raise ValueError("a concatenation of images is not known")
        return self.emit("Concat", [self.value(index) for index in inputs], axis=options.axis)

    def op_transpose(self, _options: Any, inputs: list[int], output: int) -> str:
        """Transpose in TFLite's layout."""
        if self.channels_first(output):
            raise ValueError("a transpose of images is not known")
        order = self.values(inputs[1]).tolist()
        return self.emit("Transpose", [self.value(inputs[0])], perm=order)

    def op_mean(self, options: Any, inputs: list[int], _output: int) -> str:
        """Mean over axes."""
        axes = np.atleast_1d(self.values(inputs[1])).tolist()
        return self.emit(
            "ReduceMean", [self.value(inputs[0])], axes=axes, keepdims=options.keepDims
        )

    def op_sum(self, options: Any, inputs: list[int], _output: int) -> str:
        """Sum over axes."""
        axes = self.initializer(np.atleast_1d(self.values(inputs[1])).astype(np.int64))
        return self.emit("ReduceSum", [self.value(inputs[0]), axes], keepdims=options.keepDims)

    def op_rsqrt(self, _options: Any, inputs: list[int], _output: int) -> str:
        """1 / sqrt(x)."""
        return self.emit("Reciprocal", [self.emit("Sqrt", [self.value(inputs[0])])])

    def op_squared_difference(self, _options: Any, inputs: list[int], _output: int) -> str:
        """(a - b)^2."""
        difference = self.emit("Sub", [self.value(index) for index in inputs])
        return self.emit("Mul", [difference, difference])

    def op_strided_slice(self, options: Any, inputs: list[int], output: int) -> str:
        """A slice with steps of one from the start of every axis, and the axes that it drops."""
        begin, end, steps = (self.values(index) for index in inputs[1:])
        shape = self.shape(inputs[0])
        axes = range(len(shape))
        starts = [0 if options.beginMask >> axis & 1 else int(begin[axis]) for axis in axes]
        stops = [shape[a] if options.endMask >> a & 1 else int(end[a]) for a in axes]
        if (steps != 1).any() or options.ellipsisMask or options.newAxisMask:
            raise ValueError("this slice is not known")
        bounds = [self.initializer(np.array(values, np.int64)) for values in (starts, stops)]
        result = self.emit("Slice", [self.value(inputs[0]), *bounds])
        if not options.shrinkAxisMask:
            return result
        return self.emit(
            "Reshape", [result, self.initializer(np.array(self.shape(output), np.int64))]
        )

    def binary(self, kind: str, options: Any, inputs: list[int]) -> str:
        """Element by element, of two tensors."""
        result = self.emit(kind, [self.value(index) for index in inputs])
        return self.activated(result, options.fusedActivationFunction)


def used_nodes(nodes: list[onnx.NodeProto], outputs: list[str]) -> list[onnx.NodeProto]:
    """Return the nodes on which the outputs depend, in order."""
    needed = set(outputs)
    kept = []
    for node in reversed(nodes):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    return kept[::-1]
