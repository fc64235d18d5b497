"""The network of 478 landmarks: MediaPipe's face mesh with irises."""

from __future__ import annotations

from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32

from .graphs import VisionGraph
from .images import checked_image, crop_region
from .region import FaceRegion

LANDMARKS = 478
INPUT_SIZE = 256


class LandmarkNetwork:
    """MediaPipe's face mesh with irises.

    Args:
        threads: of ONNX Runtime.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
    """

    def __init__(self, threads: int = 1) -> None:
        self._graph = VisionGraph("face_landmarks", threads=threads)

    def read(self, image: Any, region: FaceRegion) -> tuple[Float32[Array, "478 3"], float]:
        """Return the landmarks of the face in a region, and the probability that one is there.

        Landmarks are column, row and depth in pixels of the image. Depth is relative to the face
        and smaller towards the camera. Where there is no face they mean nothing.

        Args:
            image: RGB, uint8 `[H, W, 3]`.
            region: the square around the face.

        Raises:
            InputError: `image` is something else.
        """
        crop = crop_region(checked_image(image), region, INPUT_SIZE)
        outputs = self._graph.run(crop[None].astype(np.float32) / 255)
        points = outputs["landmarks"].reshape(LANDMARKS, 3).astype(np.float64)
        # The network's coordinates start at the crop's edge, those of `matrix` at its first pixel.
        matrix = region.matrix(INPUT_SIZE)
        places = (points[:, :2] - 0.5) @ matrix[:, :2].T + matrix[:, 2]
        depths = points[:, 2:] * (region.side / INPUT_SIZE)
        presence = 1 / (1 + np.exp(-float(outputs["presence"].ravel()[0])))
        return np.hstack([places, depths]).astype(np.float32), float(presence)
