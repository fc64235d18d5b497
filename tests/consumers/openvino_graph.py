"""Run in an interpreter with openvino: evaluate a graph on the CPU and store its first output.

python openvino_graph.py GRAPH INPUTS OUT: INPUTS is an .npz with an array for every input.
"""

import sys

import numpy as np
import openvino


def main(graph: str, inputs: str, out: str) -> None:
    core = openvino.Core()
    # The default may compute in half precision.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(graph), "CPU", exact)
    with np.load(inputs) as arrays:
        result = compiled(dict(arrays))
    np.savez(out, output=result[0])


main(*sys.argv[1:])
