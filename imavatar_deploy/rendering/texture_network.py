"""TextureNetwork: `texture.onnx` in ONNX Runtime, run on any number of points without growing in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import JAW
from imavatar_deploy.errors import InputError
from imavatar_deploy.onnx_session import open_session, run_graph

Float = NDArray[np.float32]

TEXTURE_GRAPH = "texture.onnx"
"""The file in an avatar folder that holds the network."""

CHUNK = 2048
"""Points a run on a CPU: 512 features of 2,048 points are 4 MB, which stay in the last-level cache."""


class TextureGraph:
    """The full texture network on its baked first layer: (code `[N, K]`, normal `[N, 3]`, condition `[1, 53]`) -> rgb.

    Args:
        session: what runs the graph, with the face of ONNX Runtime's; that on the CPU when left out.

    Raises:
        InputError: the graph does not take these inputs.
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
        """[CHUNK, K] where the caller puts the codes of a chunk."""
        self.normal = np.zeros((self._chunk, 3), dtype=np.float32)
        """[CHUNK, 3] where the caller puts the normals of a chunk."""

    def run(self, count: int, fill: Callable[[int, int], None], condition: Float) -> Float:
        """[count, 3] colours in 0..1.

        Args:
            fill: `fill(start, stop)` writes points start..stop to the top of `code` and `normal`.
            condition: `[1, 53]`, see `kinematics.condition_of`.
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
    actual = {given.name: given.shape[-1] for given in session.get_inputs()}
    outputs = [given.name for given in session.get_outputs()]
    if actual != widths or "rgb" not in outputs:
        raise InputError(
            f"{path} must map inputs {widths} to 'rgb', got {actual} to {', '.join(outputs)}; export the avatar again"
        )
