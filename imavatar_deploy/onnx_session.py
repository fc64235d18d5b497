"""ONNX graphs in ONNX Runtime: sessions that share the cores politely and say what is wrong with a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.trt.driver import probe_driver

from .errors import InputError, MissingDependencyError
from .optional import require

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def open_session(path: str | Path, *, threads: int = 0, provider: str = CPU) -> Any:
    """An `onnxruntime.InferenceSession` on one provider; another than the CPU's never falls back to the CPU.

    Its pool does not spin: a spinning pool beside numba's turned a 1 ms raster into 48 ms.

    Args:
        threads: size of the pool; 0 = one per core.
        provider: ONNX Runtime's name of what computes.

    Raises:
        InputError: the file is not a graph that ONNX Runtime can load.
        MissingDependencyError: onnxruntime is not installed, or cannot compute the whole graph there.
    """
    runtime = require("onnxruntime", extra="cpu")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if provider != CPU:
        return _open_elsewhere(runtime, path, options, provider)
    try:
        return runtime.InferenceSession(str(path), options, providers=[CPU])
    except Exception as error:  # onnxruntime's own exception classes share no base
        raise InputError(
            f"{path} is not a graph that ONNX Runtime can load ({_first_line(error)}); export it again"
        ) from error


def _open_elsewhere(runtime: Any, path: str | Path, options: Any, provider: str) -> Any:
    """ONNX Runtime takes the CPU without a word where a provider does not start, unless it is forbidden to."""
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if provider not in runtime.get_available_providers():
        raise MissingDependencyError(
            f"this onnxruntime has no {provider}: pip uninstall -y onnxruntime && pip install 'imavatar-deploy[gpu]'"
        )
    if provider == CUDA:
        probe_driver()  # or ONNX Runtime fills the screen with what it cannot load
        runtime.preload_dlls()  # CUDA's libraries may have come from a package index
    try:
        session = runtime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:
        raise MissingDependencyError(
            f"{provider} cannot compute {path} here ({_first_line(error)}); run imavatar-doctor, or play on the CPU"
        ) from error
    if session.get_providers()[:1] != [
        provider
    ]:  # what it says beforehand is what it was built with, not what works
        raise MissingDependencyError(
            f"{provider} did not start on this machine; run imavatar-doctor"
        )
    return session


def run_graph(session: Any, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Run `session` on `inputs` and return its outputs by name.

    Raises:
        InputError: the graph wants other inputs, or fails on these.
    """
    names = [output.name for output in session.get_outputs()]
    try:
        return dict(zip(names, map(np.asarray, session.run(names, dict(inputs))), strict=True))
    except Exception as error:
        raise InputError(
            f"the graph cannot run on {', '.join(inputs)} ({_first_line(error)}); export it again"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
