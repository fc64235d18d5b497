"""Which frames of a motion a command is asked for: `A:B:S` as text."""

from __future__ import annotations

import re

from imavatar_deploy.errors import UsageError


def frames_of(text: str) -> slice:
    """`A:B:S` -> a slice, any part of which may be empty, as in Python.

    Raises:
        UsageError: the text is no such range.
    """
    parts = re.fullmatch(r"(-?\d+)?:(-?\d+)?(?::([1-9]\d*)?)?", text)
    if not parts:
        raise UsageError(f"--frames must be like 0:100, 50: or ::2 (first:end:step), got {text!r}")
    return slice(*(int(part) if part else None for part in parts.groups()))
