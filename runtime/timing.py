"""Timing: percentiles of the stages of a frame, and a description of the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.rendering.workers import available_cores
from imavatar_deploy.trt.driver import probe_driver

from .player import STAGES

PERCENTILES = (50, 95, 99)
PACKAGES = (
    "numpy",
    "numba",
    "onnxruntime",
    "onnxruntime-gpu",
    "warp-lang",
    "tensorrt",
    "tensorrt-rtx-cu13",
    "cuda-bindings",
)
"""Packages whose versions matter to the speed."""

INCLUDED = (
    "parameters in to RGBA out, from the front; reading the motion and writing frames is not "
    "included; the stages are those of every third frame, drawn again"
)
"""What the times of the bench include."""


def summarise(
    stage_times: Iterable[Mapping[str, float]], totals: Sequence[float]
) -> dict[str, dict[str, float]]:
    """Milliseconds at each percentile, for every stage and for `total`.

    The result is like `{"raster": {"p50": 1.2, ...}, ...}`.

    Args:
        stage_times: seconds of the stages of some frames.
        totals: seconds of whole frames, without waits between the stages.
    """
    seconds = np.array([[times[stage] for stage in STAGES] for times in stage_times])
    columns = dict(zip(STAGES, seconds.T, strict=True)) | {"total": np.asarray(totals)}
    return {stage: percentiles(values) for stage, values in columns.items()}


def percentiles(seconds: Any) -> dict[str, float]:
    """Milliseconds at each percentile of `[N]` seconds: `{"p50": 1.2, ...}`."""
    return {f"p{q}": round(1e3 * float(np.percentile(seconds, q)), 4) for q in PERCENTILES}


def machine() -> dict[str, Any]:
    """Processor, GPU, system, versions and load of this machine."""
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "gpu": _gpu(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: number for name in PACKAGES if (number := _version(name))},
        "load_average": load_average(),
    }


def load_average() -> list[float] | None:
    """Load of the last one, five and fifteen minutes; None where the system does not report it."""
    return [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except ModuleNotFoundError:  # the CPU and the GPU build are never both installed
        return None


def _gpu() -> str | None:
    try:
        return probe_driver().devices[0].name
    except MissingDependencyError:
        return None


def _processor() -> str:
    """Name of the processor: from a file on Linux, else from Python."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
