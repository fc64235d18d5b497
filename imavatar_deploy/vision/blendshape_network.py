"""The network of 52 blendshapes: MediaPipe's, from landmarks to ARKit's shapes.

It is weak: it misses most of a small jaw opening, and a third of the shapes hardly move. Fit the
landmarks where accuracy counts, and use these coefficients as a hint.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.checks import as_float32
from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget.arkit import ARKIT_NAMES

from .graphs import VisionGraph
from .landmark_network import LANDMARKS

# fmt: off
INPUT_LANDMARKS = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66,
    67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144,
    145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173,
    176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284,
    285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332,
    334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386,
    387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473,
    474, 475, 476, 477,
)
# fmt: on
"""The landmarks that the network reads, of MediaPipe's face_blendshapes_graph.cc."""

OUTPUT_NAMES = ("_neutral", *sorted(set(ARKIT_NAMES) - {"tongueOut"}))
"""Names of the network's outputs: those of ARKit in alphabetical order, without the tongue."""
_ORDER = [OUTPUT_NAMES.index(name) for name in ARKIT_NAMES if name != "tongueOut"]


class BlendshapeNetwork:
    """MediaPipe's network from landmarks to ARKit's blendshapes.

    Args:
        threads: of ONNX Runtime.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
    """

    def __init__(self, threads: int = 1) -> None:
        self._graph = VisionGraph("face_blendshapes", threads=threads)

    def coefficients(self, landmarks: Any) -> Float32[Array, "52"]:
        """Return the coefficients, 0..1, in the order of `ARKIT_NAMES`; `tongueOut` is 0.

        Args:
            landmarks: `[478, 2]` or more, column and row in pixels; what follows is not read.

        Raises:
            InputError: there are not 478 landmarks, or they are not finite.
        """
        points = as_float32("landmarks", landmarks, (LANDMARKS, "D"))
        if points.shape[1] < 2:
            raise InputError(f"landmarks must have a column and a row, got {list(points.shape)}")
        values = self._graph.run(points[None, INPUT_LANDMARKS, :2])["coefficients"]
        return np.append(values[_ORDER], np.float32(0))
