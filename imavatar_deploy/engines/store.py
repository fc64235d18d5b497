"""The user's own store of engines: rebuilt plans by the hash of their inputs, and what kernels took on this GPU."""

from __future__ import annotations

import os
from pathlib import Path

from imavatar_deploy.atomic import atomic_file

from .flavours import Flavour


def store() -> Path:
    """`$XDG_CACHE_HOME/imavatar-deploy/engines`, in the home folder where that is not set."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "imavatar-deploy" / "engines"


def read_timing(flavour: Flavour) -> bytes:
    """The timing cache of a flavour; empty where there is none yet, or it has none."""
    path = _timing_path(flavour)
    return path.read_bytes() if flavour.timing_cache and path.is_file() else b""


def write_timing(flavour: Flavour, content: bytes | None) -> None:
    """Keep a timing cache, if there is one."""
    if content is not None:
        with atomic_file(_timing_path(flavour)) as partial:
            partial.write_bytes(content)


def _timing_path(flavour: Flavour) -> Path:
    return store() / f"{flavour.name}.timing"
