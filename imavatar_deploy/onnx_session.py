"""ONNX Runtime sessions: open and run graphs, with clear errors and without spinning threads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.trt.driver import probe_driver

from .arrays import Array, Shaped
from .errors import InputError, MissingDependencyError
from .optional import require

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


def open_session(path: str | Path, *, threads: int = 0, provider: str = CPU) -> Any:
    """Open an `onnxruntime.InferenceSession` on one execution provider.

    A provider other than the CPU's never falls back to the CPU. The thread pool does not spin: a
    spinning pool beside numba's threads slowed the rasterisation of a frame from 1 ms to 48 ms.

    Args:
        threads: size of the pool; 0 = one per core.
        provider: ONNX Runtime's name of the execution provider.

    Raises:
        InputError: the file is not a graph that ONNX Runtime can load.
        MissingDependencyError: onnxruntime is not installed, or the provider cannot compute the
            whole graph.
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
            f"{path} is not a graph that ONNX Runtime can load ({_first_line(error)}); "
            "export it again"
        ) from error


def _open_elsewhere(runtime: Any, path: str | Path, options: Any, provider: str) -> Any:
    """Open a session on a GPU; by default ONNX Runtime silently uses the CPU where that fails."""
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if provider not in runtime.get_available_providers():
        raise MissingDependencyError(
            f"this onnxruntime has no {provider}: "
            "pip uninstall -y onnxruntime && pip install 'imavatar-deploy[gpu]'"
        )
    if provider == CUDA:
        probe_driver()  # without a driver, ONNX Runtime prints every library that it cannot load
        runtime.preload_dlls()  # CUDA's libraries may have been installed by pip
    try:
        session = runtime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:
        raise MissingDependencyError(
            f"{provider} cannot compute {path} here ({_first_line(error)}); "
            "run imavatar-doctor, or play on the CPU"
        ) from error
    # `get_available_providers` lists what it was built with, not what works on this machine.
    if session.get_providers()[:1] != [provider]:
        raise MissingDependencyError(
            f"{provider} did not start on this machine; run imavatar-doctor"
        )
    return session


def run_graph(
    session: Any, inputs: Mapping[str, Shaped[Array, "..."]]
) -> dict[str, Shaped[Array, "..."]]:
    """Run `session` on `inputs` and return its outputs by name.

    Raises:
        InputError: the graph has other inputs, or fails on these.
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
