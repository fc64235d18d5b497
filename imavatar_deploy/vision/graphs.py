"""The bundled ONNX graphs of the vision networks; `assets/vision/MODEL_CARDS.md` describes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.onnx_session import open_session, run_graph

ASSETS = Path(__file__).resolve().parents[1] / "assets" / "vision"


class VisionGraph:
    """An open graph with one input.

    Args:
        name: of the asset, without its suffix.
        threads: size of ONNX Runtime's thread pool.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
    """

    def __init__(self, name: str, *, threads: int = 1) -> None:
        self._session = open_session(ASSETS / f"{name}.onnx", threads=threads)
        (self._input,) = (source.name for source in self._session.get_inputs())

    def run(self, values: Float32[Array, "..."]) -> dict[str, Float32[Array, "..."]]:
        """Return the outputs by name."""
        return run_graph(self._session, {self._input: np.ascontiguousarray(values, np.float32)})
