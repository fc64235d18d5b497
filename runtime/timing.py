"""Timing: how long each stage of a frame takes, as percentiles, with what it was measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.drawing.workers import available_cores
from imavatar_deploy.tracks import FlameFrame

from .player import STAGES, Player

WARM_UP = 5
"""Frames before the clock starts: compiled code is loaded, memory is touched, the network's pool is woken."""

PERCENTILES = (50, 95, 99)
PACKAGES = ("numpy", "numba", "onnxruntime", "onnxruntime-gpu")
INCLUDED = "parameters in to RGBA out, seen from the front; reading the motion and writing frames is not included"


def time_frames(player: Player, frames: Sequence[FlameFrame], count: int) -> list[dict[str, float]]:
    """Seconds per stage of `count` frames, going round `frames` as often as needed."""
    order = [frames[index % len(frames)] for index in range(WARM_UP + count)]
    return [player.render_timed(frame.expression, frame.pose)[1] for frame in order][WARM_UP:]


def summarise(laps: Iterable[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Milliseconds at each percentile, for every stage and for `total`: `{"raster": {"p50": 1.2, ...}, ...}`."""
    seconds = np.array([[lap[stage] for stage in STAGES] for lap in laps])
    columns = dict(zip(STAGES, seconds.T, strict=True)) | {"total": seconds.sum(axis=1)}
    return {
        stage: {f"p{q}": round(1e3 * float(np.percentile(values, q)), 4) for q in PERCENTILES}
        for stage, values in columns.items()
    }


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was."""
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "load_average": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except ModuleNotFoundError:  # PackageNotFoundError: the cpu and the gpu build are never both there
        return None


def _processor() -> str:
    """Linux keeps the name in a file; elsewhere Python knows it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
