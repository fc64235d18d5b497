"""Tolerances: hop -> measure -> limit, checked, and their place in an avatar folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imavatar_deploy.errors import InputError, UsageError, unknown_name

from .measures import NAMES

FILE = "golden/tolerances.json"
"""Its place in an avatar folder, so that it is judged by the same anywhere."""

HOPS = ("baked", "onnx", "tensorrt", "student")
"""The hops that can be limited, in order."""

Tolerances = Mapping[str, Mapping[str, float]]


def checked(given: Mapping[str, Any], source: str) -> dict[str, dict[str, float]]:
    """Limits of some hops, each of some measures.

    Raises:
        UsageError: a hop or a measure that does not exist, or a limit that is no number.
    """
    for hop, limits in given.items():
        if hop not in HOPS:
            raise unknown_name(f"hop in {source}", hop, HOPS)
        if not isinstance(limits, Mapping):
            raise UsageError(f"[{hop}] in {source} must be a table of limits, got {limits!r}")
        for name, limit in limits.items():
            if name not in NAMES:
                raise unknown_name(f"measure of {hop} in {source}", name, NAMES)
            if isinstance(limit, bool) or not isinstance(limit, int | float) or limit != limit:
                raise UsageError(f"{name} of {hop} in {source} must be a number, got {limit!r}")
    return {hop: {name: float(limit) for name, limit in limits.items()} for hop, limits in given.items()}


def write_tolerances(folder: Path, tolerances: Tolerances) -> None:
    """Store them beside the reference."""
    text = json.dumps({hop: dict(limits) for hop, limits in tolerances.items()}, indent=2)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read_tolerances(path: Path) -> dict[str, dict[str, float]]:
    """The tolerances in a folder's file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return checked(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError, AttributeError, RecursionError, UsageError) as error:
        raise InputError(f"{path} has no usable tolerances ({error}); export the avatar again") from error
