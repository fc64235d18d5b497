"""Tolerances: those of the package, and a user's file that changes some of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from imavatar_deploy.errors import InputError
from imavatar_deploy.proof.tolerances import checked

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULTS = Path(__file__).with_suffix(".toml")


def tolerances(changes: Path | None = None) -> dict[str, dict[str, float]]:
    """Hop -> measure -> limit.

    Args:
        changes: a TOML file like `tolerances.toml`; what it does not name stays.

    Raises:
        InputError: the file cannot be read.
        UsageError: it names a hop or a measure that does not exist.
    """
    limits = _read(DEFAULTS)
    for hop, changed in (_read(changes) if changes else {}).items():
        limits[hop] = limits.get(hop, {}) | changed
    return limits


def _read(path: Path) -> dict[str, dict[str, float]]:
    try:
        given: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read as tolerances: {error}; write a TOML file like {DEFAULTS}") from error
    return checked(given, str(path))
