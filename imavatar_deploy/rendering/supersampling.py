"""Supersampling: frames drawn at twice the size and averaged, with any renderer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import Array, Float32, UInt8

from .renderer import (
    NO_ANTIALIASING,
    STAGES,
    SUPERSAMPLING,
    TRANSPARENT,
    OpenRenderer,
    RenderConfig,
    Renderer,
    StageCallback,
    frame_by_frame,
    untimed,
)
from .workers import Workers, kernel

# Arrays in compiled loops
Bytes = NDArray[np.uint8]

FACTOR = 2
"""Samples in a pixel along each axis: four in all."""


def open_antialiased(config: RenderConfig, open_renderer: OpenRenderer) -> Renderer:
    """Open the renderer of a configuration whose `antialias` may be `4x`."""
    if config.antialias == SUPERSAMPLING:
        return SupersamplingRenderer(config, open_renderer)
    return open_renderer(config)


class SupersamplingRenderer:
    """A `Renderer` that draws `FACTOR` times as many rows and columns and averages.

    It shades every sample, at four times the cost, and is the reference of the anti-aliasing of
    edges.

    Args:
        open_renderer: opens the renderer of the large images.
    """

    def __init__(self, config: RenderConfig, open_renderer: OpenRenderer) -> None:
        self._size = (config.height, config.width)
        self._background = np.array(config.background, dtype=np.uint8)
        self._inner = open_renderer(
            replace(
                config,
                width=FACTOR * config.width,
                height=FACTOR * config.height,
                background=TRANSPARENT,
                antialias=NO_ANTIALIASING,
            )
        )
        self.note = self._inner.note
        self.threads = self._inner.threads
        self._workers = Workers(config.threads)

    def render(
        self,
        expression: Float32[Array, " E"],
        pose: Float32[Array, "15"],
        image_matrix: Float32[Array, "3 4"],
        stage_done: StageCallback = untimed,
    ) -> UInt8[Array, "H W 4"]:
        """Return the frame as RGBA in a new array; `stage_done` is called after each stage."""
        stages = iter(STAGES)

        def inner_done() -> None:
            if next(stages) != STAGES[-1]:  # the last one includes the averages
                stage_done()

        samples = self._inner.render(
            expression,
            pose,
            _sample_matrix(image_matrix),
            untimed if stage_done is untimed else inner_done,
        )
        image = self._average(samples)
        stage_done()
        return image

    def render_batch(
        self,
        expressions: Float32[Array, "N E"],
        poses: Float32[Array, "N 15"],
        image_matrix: Float32[Array, "3 4"],
    ) -> UInt8[Array, "N H W 4"]:
        """Return the bytes of N calls of `render`."""
        return frame_by_frame(self, self._size, expressions, poses, image_matrix)

    def vertices(
        self, expression: Float32[Array, " E"], pose: Float32[Array, "15"]
    ) -> Float32[Array, "V 3"]:
        """Return the posed vertices; the next call may overwrite them."""
        return self._inner.vertices(expression, pose)

    def normals(
        self,
        expression: Float32[Array, " E"],
        pose: Float32[Array, "15"],
        image_matrix: Float32[Array, "3 4"],
    ) -> Float32[Array, "H W 3"]:
        """Return the unit normal at the centre of each pixel; zero in the background."""
        centres = image_matrix.copy()
        centres[:2] *= FACTOR
        return np.ascontiguousarray(
            self._inner.normals(expression, pose, centres)[::FACTOR, ::FACTOR]
        )

    def close(self) -> None:
        """Release threads and memory."""
        self._workers.close()
        self._inner.close()

    def _average(self, samples: UInt8[Array, "_ _ 4"]) -> UInt8[Array, "H W 4"]:
        image = np.zeros((*self._size, 4), dtype=np.uint8)
        self._workers.each(_average, len(image), samples, self._background, image)
        return image


def _sample_matrix(image_matrix: Float32[Array, "3 4"]) -> Float32[Array, "3 4"]:
    """Return the image matrix of the samples: pixel x has those from FACTOR x on."""
    matrix = image_matrix.copy()
    matrix[:2] = FACTOR * image_matrix[:2] + (FACTOR - 1) / 2 * image_matrix[2]
    return matrix


@kernel
def _average(start: int, stop: int, samples: Bytes, background: Bytes, image: Bytes) -> None:
    """Average the samples of the rows start..stop, weighted by alpha, over the background."""
    count = FACTOR * FACTOR
    for y in range(start, stop):
        for x in range(image.shape[1]):
            red, green, blue, alpha = 0, 0, 0, 0
            for row in range(FACTOR * y, FACTOR * (y + 1)):
                for column in range(FACTOR * x, FACTOR * (x + 1)):
                    weight = int(samples[row, column, 3])
                    red += weight * samples[row, column, 0]
                    green += weight * samples[row, column, 1]
                    blue += weight * samples[row, column, 2]
                    alpha += weight
            rest = (255 * count - alpha) * int(background[3]) // 255
            total = alpha + rest
            if alpha == 0:
                for channel in range(4):
                    image[y, x, channel] = background[channel]
                continue
            image[y, x, 0] = (red + rest * background[0] + total // 2) // total
            image[y, x, 1] = (green + rest * background[1] + total // 2) // total
            image[y, x, 2] = (blue + rest * background[2] + total // 2) // total
            image[y, x, 3] = (2 * total + count) // (2 * count)
