"""The person mask: MediaPipe's selfie segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32

from .graphs import VisionGraph
from .images import checked_image, resize, resize_mask

INPUT_SIZE = 256


class PersonMask:
    """MediaPipe's selfie segmentation: people against the background.

    The network works at 256 x 256 pixels, so the mask's border is soft in a large image. It was
    trained on people within two metres of the camera.

    Args:
        threads: of ONNX Runtime.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
    """

    def __init__(self, threads: int = 1) -> None:
        self._graph = VisionGraph("person_mask", threads=threads)

    def mask(self, image: Any) -> Float32[Array, "H W"]:
        """Return for each pixel how probably it belongs to a person, 0..1.

        Args:
            image: RGB, uint8 `[H, W, 3]`.

        Raises:
            InputError: `image` is something else.
        """
        image = checked_image(image)
        small = resize(image, INPUT_SIZE, INPUT_SIZE)
        mask = self._graph.run(small[None].astype(np.float32) / 255)["mask"][0, :, :, 0]
        return resize_mask(mask, image.shape[1], image.shape[0])
