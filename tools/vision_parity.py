"""Comparison of the graphs of `imavatar_deploy.vision` with their TFLite originals, on images.

The inputs are those of the package: crops of faces, their landmarks, whole images. The originals
run in LiteRT (`pip install ai-edge-litert`). It does not know the last operator but one of the
person mask, a transposed convolution without overlap, which is computed here in numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from tflite_to_onnx import constant, operator_name, read_model

from imavatar_deploy.runtime import Player
from imavatar_deploy.vision import FaceRegion, FaceTracker, detector, landmark_network, person_mask
from imavatar_deploy.vision.blendshape_network import INPUT_LANDMARKS
from imavatar_deploy.vision.images import crop_region, fit_into, resize

Values = NDArray[Any]

TOLERANCES = {
    "face_detector": {"boxes": 1e-3, "scores": 1e-3},
    "face_landmarks": {"landmarks": 2e-3, "presence": 1e-3},
    "face_blendshapes": {"coefficients": 5e-5},
    "person_mask": {"mask": 1e-3},
}
"""Largest difference of each output: pixels of the network's input, logits, and shares of one. The
weights are the same float16 values, so that all that differs is the order of sums in float32; it
shifts landmarks by less than a thousandth of a pixel."""


TRANSPOSED = "Convolution2DTransposeBias"


@dataclass(frozen=True)
class Comparison:
    """The largest difference of one output over all images."""

    network: str
    output: str
    difference: float
    largest: float  # of the original's values

    @property
    def tolerance(self) -> float:
        """The largest difference that passes."""
        return TOLERANCES[self.network][self.output]

    def __str__(self) -> str:
        return (
            f"{self.network} {self.output}: differs by {self.difference:.1e} of {self.largest:.3g} "
            f"(tolerance {self.tolerance:.0e})"
        )


def sample_images() -> list[Values]:
    """Return a photograph and three images of the bundled avatar: RGB, uint8."""
    from skimage.data import astronaut

    images = [np.ascontiguousarray(astronaut())]
    with Player("sample", size=320) as player:
        for jaw in (0.0, 0.1, 0.2):
            pose = np.zeros(15)
            pose[6], pose[4] = jaw, jaw * 2
            rgba = player.render(np.zeros(player.avatar.expression_size), pose).astype(np.float32)
            alpha = rgba[..., 3:] / 255
            images.append((rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8))
    return images


def network_inputs(images: Iterable[Values]) -> dict[str, list[Values]]:
    """Return what each network is given for each image; an image must show a face."""
    inputs: dict[str, list[Values]] = {name: [] for name in TOLERANCES}
    with FaceTracker() as tracker:
        for image in images:
            tracker.reset()
            face = tracker.track(image)
            if face is None:
                raise ValueError("an image to compare on shows no face")
            square, _ = fit_into(image, detector.INPUT_SIZE)
            size = landmark_network.INPUT_SIZE
            crop = crop_region(image, FaceRegion.of_landmarks(face.landmarks), size)
            small = resize(image, person_mask.INPUT_SIZE, person_mask.INPUT_SIZE)
            inputs["face_detector"].append(square[None].astype(np.float32) / 127.5 - 1)
            inputs["face_landmarks"].append(crop[None].astype(np.float32) / 255)
            inputs["face_blendshapes"].append(face.landmarks[None, INPUT_LANDMARKS, :2])
            inputs["person_mask"].append(small[None].astype(np.float32) / 255)
    return inputs


def compare(
    originals: Mapping[str, bytes],
    graphs: Mapping[str, bytes],
    outputs: Mapping[str, tuple[str, ...]],
    images: Iterable[Values],
) -> list[Comparison]:
    """Return the differences of every output.

    Args:
        originals: TFLite files by network.
        graphs: ONNX graphs by network.
        outputs: names of the outputs by network, in TFLite's order.
        images: RGB, uint8, each with a face.
    """
    comparisons = []
    for network, values in network_inputs(images).items():
        session = onnxruntime.InferenceSession(graphs[network], providers=["CPUExecutionProvider"])
        (source,) = (entry.name for entry in session.get_inputs())
        expected = [run_original(originals[network], value, outputs[network]) for value in values]
        for name in filter(None, outputs[network]):
            pairs = [
                (session.run([name], {source: value})[0].ravel(), original[name].ravel())
                for value, original in zip(values, expected, strict=True)
            ]
            difference = max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)
            largest = max(float(np.abs(theirs).max()) for _, theirs in pairs)
            comparisons.append(Comparison(network, name, difference, largest))
    return comparisons


def run_original(data: bytes, value: Values, names: tuple[str, ...]) -> dict[str, Values]:
    """Return the outputs of a TFLite file by the names that the graph gives them."""
    model = read_model(data)
    operators = model.subgraphs[0].operators
    last = next((op for op in operators if operator_name(model, op) == TRANSPOSED), None)
    if last is not None:
        data = cut_before(model, last)
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
    interpreter.invoke()
    if last is not None:
        features = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        return {names[0]: transposed_convolution(model, last, features)}
    indices = [int(index) for index in model.subgraphs[0].outputs]
    return {name: interpreter.get_tensor(index) for name, index in zip(names, indices, strict=True)}


def cut_before(model: Any, operator: Any) -> bytes:
    """Return the model without an operator and what follows; its output is the operator's input."""
    graph = model.subgraphs[0]
    graph.outputs = [operator.inputs[0]]
    graph.operators = graph.operators[: graph.operators.index(operator)]
    model.signatureDefs = []
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def transposed_convolution(model: Any, operator: Any, features: Values) -> Values:
    """Return the sigmoid of the transposed convolution, 2 x 2 with a step of 2, of `features`."""
    constants = weights_of(model)
    kernel, bias = (constants[int(index)] for index in operator.inputs[1:])
    _, height, width, _ = features.shape
    blocks = np.einsum("yxi,abi->yaxb", features[0].astype(np.float64), kernel[0]) + bias[0]
    logits = blocks.reshape(2 * height, 2 * width)
    return 0.5 + 0.5 * np.tanh(logits / 2)


def weights_of(model: Any) -> dict[int, Values]:
    """Return the values behind each DEQUANTIZE by its output."""
    original = model.subgraphs[0].operators
    return {
        int(op.outputs[0]): values.astype(np.float64)
        for op in original
        if operator_name(model, op) == "DEQUANTIZE"
        and (values := constant(model, int(op.inputs[0]))) is not None
    }
