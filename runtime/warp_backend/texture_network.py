"""The full texture network on the device: all layers of a tile of points in one kernel.

Products are in half precision, sums in float32.

A block of threads takes tile after tile of `rows` points through the whole network. A layer's
inputs stay in the shared memory of its processor; the weights stream by in chunks of `CHUNK_DEPTH`
x `CHUNK_COLUMNS`, which lie in memory in the order of their use. `wp.tile_matmul` multiplies them:
tensor cores through cuBLASDx on a GPU, loops on a CPU. A layer's outputs go to the block's own part
of a scratch array, small enough for the second-level cache, so that two blocks fit on a processor
and one multiplies while the other waits for its next chunk.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Shaped

from .arrays import Float, Floats2, Half, Halves2, Ints
from .library import device_function, quietly, wp
from .texture_weights import TextureWeights

CHUNK_DEPTH, CHUNK_COLUMNS = 128, 64
"""Size of a chunk of weights: 16 KB. Layers are padded with zeros to a multiple of
`CHUNK_DEPTH`."""

THREADS = 256
"""Threads of a block. The compiler gives each of its eight warps 32 products of 16 x 8 x 16 a chunk
(sm_90); four warps got 128 of 16 x 8 x 8 each, and spilled more registers."""

PIECE_UNITS = 32
"""Units copied from memory to shared memory at a time."""

COLOUR_CHANNELS = 4
"""Numbers stored of the last layer's: red, green, blue and one that is unused."""

TILE_ROWS = (64, 32, 16)
"""Points a tile, largest first: all weights are read once a tile, so larger is faster."""

BLOCKS_PER_PROCESSOR = 2
"""Blocks for each processor of the device."""

RESERVED_BYTES = 2048
"""Bytes of shared memory for everything but activations, weights and sums."""


def _padded_size(size: int) -> int:
    return -(-size // CHUNK_DEPTH) * CHUNK_DEPTH


def rows_that_fit(width: int, shared_bytes: int) -> int:
    """Number of points that fit into a block's shared memory."""
    for rows in TILE_ROWS:
        activations = rows * width * 2
        weights = CHUNK_DEPTH * CHUNK_COLUMNS * 2
        sums = rows * CHUNK_COLUMNS * 4
        if activations + weights + sums + RESERVED_BYTES <= shared_bytes:
            return rows
    return TILE_ROWS[-1]


def split_into_chunks(
    weights: TextureWeights, width: int
) -> tuple[Shaped[Array, "N 64"], Float32[Array, "L H"]]:
    """Weights as float16 in the kernel's order, and biases `[L, H]`.

    The weights are `[chunks * CHUNK_DEPTH, CHUNK_COLUMNS]`.

    The first row of the biases is the frame's, see `TextureWeights.constant`.
    """
    matrices = [weights.first, *(weight for weight, _ in weights.layers)]
    chunks = []
    for index, matrix in enumerate(matrices):
        inputs = _padded_size(len(matrix)) if index == 0 else width
        outputs = CHUNK_COLUMNS if index == len(matrices) - 1 else width
        filled = np.zeros((inputs, outputs), dtype=np.float16)
        filled[: matrix.shape[0], : matrix.shape[1]] = matrix
        tiles = filled.reshape(
            inputs // CHUNK_DEPTH, CHUNK_DEPTH, outputs // CHUNK_COLUMNS, CHUNK_COLUMNS
        ).transpose(2, 0, 1, 3)
        chunks.append(tiles.reshape(-1, CHUNK_COLUMNS))
    biases = np.zeros((len(matrices), width), dtype=np.float32)
    for row, (_, bias) in zip(biases[1:], weights.layers, strict=True):
        row[: len(bias)] = bias
    return np.ascontiguousarray(np.concatenate(chunks)), biases


@device_function
def _relu_half(total: Float, bias: Float) -> Half:
    return wp.float16(wp.max(total + bias, 0.0))


@device_function
def _colour(total: Float, bias: Float) -> Float:
    return (wp.tanh(total + bias) + 1.0) * 0.5


def network_kernel(rows: int, width: int) -> Any:  # noqa: C901 - Warp wants a kernel in one piece
    """The kernel for layers of `width` units and blocks of `rows` points, both compiled in."""
    height = wp.constant(rows)
    depth = wp.constant(CHUNK_DEPTH)
    columns = wp.constant(CHUNK_COLUMNS)
    units = wp.constant(width)
    channels = wp.constant(COLOUR_CHANNELS)
    piece = wp.constant(PIECE_UNITS)

    def colour_points(
        count: Ints,
        points: Halves2,
        weights: Halves2,
        biases: Floats2,
        first_steps: int,
        blocks: int,
        scratch: Halves2,
        colours: Floats2,
    ) -> None:
        # For each tile of points: load them into the layer's inputs; for each layer and each strip
        # of CHUNK_COLUMNS outputs, sum the products of inputs and weights over `steps` chunks; then
        # store the rectified outputs, from which the next layer loads its inputs. The last layer
        # has one strip, the colours.
        block = wp.tid()
        last = biases.shape[0] - 1
        inputs = wp.tile_zeros(shape=(height, units), dtype=wp.float16, storage="shared")
        for tile in range(block, (count[0] + height - 1) // height, blocks):
            for k in range(first_steps * depth // piece):
                part = wp.tile_load(
                    points, shape=(height, piece), offset=(tile * height, k * piece)
                )
                wp.tile_assign(inputs, part, offset=(0, k * piece))
            used = int(0)
            steps = int(first_steps)
            strips = int(units // columns)
            for layer in range(biases.shape[0]):
                if layer == last:
                    strips = int(1)
                for strip in range(strips):
                    total = wp.tile_zeros(
                        shape=(height, columns), dtype=wp.float32, storage="shared"
                    )
                    for k in range(steps):
                        chunk = wp.tile_load(
                            weights,
                            shape=(depth, columns),
                            offset=(used * depth, 0),
                            storage="shared",
                            aligned=True,
                        )
                        wp.tile_matmul(
                            wp.tile_view(inputs, offset=(0, k * depth), shape=(height, depth)),
                            chunk,
                            total,
                        )
                        used += 1
                    row = wp.tile_load(biases, shape=(1, columns), offset=(layer, strip * columns))
                    bias = wp.tile_broadcast(row, shape=(height, columns))
                    if layer == last:
                        sums = wp.tile_view(total, offset=(0, 0), shape=(height, channels))
                        added = wp.tile_view(bias, offset=(0, 0), shape=(height, channels))
                        wp.tile_store(
                            colours, wp.tile_map(_colour, sums, added), offset=(tile * height, 0)
                        )
                    else:
                        units_out = wp.tile_map(_relu_half, total, bias)
                        wp.tile_store(scratch, units_out, offset=(block * height, strip * columns))
                # A new shared tile is a barrier: no thread reads the scratch before all have
                # written it.
                wp.tile_zeros(shape=(1, 1), dtype=wp.float32, storage="shared")
                if layer < last:
                    for k in range(units // piece):
                        again = wp.tile_load(
                            scratch, shape=(height, piece), offset=(block * height, k * piece)
                        )
                        wp.tile_assign(inputs, again, offset=(0, k * piece))
                steps = int(units // depth)

    # The bounds leave a thread 128 registers; without the option Warp links a backward pass as
    # well.
    return wp.kernel(
        colour_points,
        module="unique",
        enable_backward=False,
        launch_bounds=(THREADS, BLOCKS_PER_PROCESSOR),
        module_options={"enable_backward": False},
    )


class WarpTextureNetwork:
    """The network of one avatar on one device, for up to `most` points.

    Args:
        weights: the network.
        most: largest number of points.
        device: a device of Warp.
    """

    def __init__(self, weights: TextureWeights, most: int, device: Any) -> None:
        sizes = [
            _padded_size(len(weights.first)),
            *(_padded_size(len(weight)) for weight, _ in weights.layers),
        ]
        self.width = max(sizes)
        self._device = device
        self._steps = sizes[0] // CHUNK_DEPTH
        shared = device.max_shared_memory_per_block if device.is_cuda else 1 << 18
        self._rows = rows_that_fit(self.width, shared)
        tiles = -(-most // self._rows)
        self._blocks = min(tiles, BLOCKS_PER_PROCESSOR * device.sm_count if device.is_cuda else 1)
        chunks, self.biases = split_into_chunks(weights, self.width)
        self._weights = wp.array(chunks, dtype=wp.float16, device=device)
        self._scratch = wp.zeros(
            (self._blocks * self._rows, self.width), dtype=wp.float16, device=device
        )
        capacity = tiles * self._rows
        self.points = wp.zeros((capacity, sizes[0]), dtype=wp.float16, device=device)
        """[most, K + 3 and zeros] input: codes and normals of the points."""
        self.colours = wp.zeros((capacity, COLOUR_CHANNELS), dtype=wp.float32, device=device)
        """[most, COLOUR_CHANNELS] output: colours of the points."""
        self._kernel = network_kernel(self._rows, self.width)
        with quietly(wp):
            wp.load_module(self._kernel.module, device, block_dim=THREADS)

    def launch(self, count: Any, biases: Any) -> None:
        """Colour the first `count[0]` points, given the biases `[L, H]` on the device."""
        inputs = [count, self.points, self._weights, biases, self._steps, self._blocks]
        wp.launch_tiled(
            self._kernel,
            dim=[self._blocks],
            inputs=inputs,
            outputs=[self._scratch, self.colours],
            block_dim=THREADS,
            device=self._device,
        )
