"""TextureGraph: `texture.onnx` evaluated on any number of points in chunks of bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import JAW
from imavatar_deploy.errors import InputError
from imavatar_deploy.onnx_session import open_session, run_graph

TEXTURE_GRAPH = "texture.onnx"
"""Name of the network's file in an avatar folder."""

CHUNK = 2048
"""Points in a run on a CPU: 512 features of 2,048 points are 4 MB, which fit the last-level
cache."""


class TextureGraph:
    """The full texture network after its baked first layer.

    (code `[N, K]`, normal `[N, 3]`, condition `[1, 53]`) -> rgb `[N, 3]`

    Args:
        session: runs the graph with the interface of an ONNX Runtime session; by default ONNX
            Runtime on the CPU.

    Raises:
        InputError: the graph has other inputs.
    """

    def __init__(self, path: Path, avatar: Avatar, threads: int, session: Any = None) -> None:
        code_size = avatar.texture_code.shape[1]
        self._session = open_session(path, threads=threads) if session is None else session
        self._chunk = int(getattr(self._session, "most", CHUNK))
        jaw_and_expression = avatar.expression_size + JAW.stop - JAW.start
        _check_inputs(
            path, self._session, {"code": code_size, "normal": 3, "condition": jaw_and_expression}
        )
        self.code = np.zeros((self._chunk, code_size), dtype=np.float32)
        """Input buffer `[CHUNK, K]` for the codes of a chunk."""
        self.normal = np.zeros((self._chunk, 3), dtype=np.float32)
        """Input buffer `[CHUNK, 3]` for the normals of a chunk."""

    def run(
        self, count: int, fill: Callable[[int, int], None], condition: Float32[Array, "1 53"]
    ) -> Float32[Array, "N 3"]:
        """Return the colours of `count` points in 0..1.

        Args:
            fill: `fill(start, stop)` writes the points start..stop to the first rows of `code` and
                `normal`.
            condition: see `kinematics.condition_of`.
        """
        colours = np.zeros((count, 3), dtype=np.float32)
        for start, stop in _chunks(count, self._chunk):
            fill(start, stop)
            size = stop - start
            inputs = {
                "code": self.code[:size],
                "normal": self.normal[:size],
                "condition": condition,
            }
            colours[start:stop] = run_graph(self._session, inputs)["rgb"]
        return colours


def _chunks(count: int, size: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + size, count)) for start in range(0, count, size))


def _check_inputs(path: Path, session: Any, widths: dict[str, int]) -> None:
    actual = {tensor.name: tensor.shape[-1] for tensor in session.get_inputs()}
    outputs = [tensor.name for tensor in session.get_outputs()]
    if actual != widths or "rgb" not in outputs:
        raise InputError(
            f"{path} must map inputs {widths} to 'rgb', got {actual} to {', '.join(outputs)}; "
            "export the avatar again"
        )
