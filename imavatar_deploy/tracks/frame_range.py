"""The range of frames that a command uses: the text `A:B:S` of every `--frames` as a slice."""

from __future__ import annotations

import re

from imavatar_deploy.errors import UsageError

FRAMES_METAVAR = "A:B:S"
FRAMES_HELP = "first:end:step as in a Python slice, each may be left out: 0:100, 50:, ::2; one frame is 5:6."
"""The grammar, for the help of every option that takes a range."""


def frames_of(text: str) -> slice:
    """Parse `A:B:S` into a slice, any part of which may be empty, as in Python.

    A negative A or B counts from the end. S is positive. A number without a colon is refused: it
    could be a frame or, as in `imavatar-data synth` and `imavatar-bench`, a count.

    Raises:
        UsageError: the text is no such range.
    """
    parts = re.fullmatch(r"(-?\d+)?:(-?\d+)?(?::([1-9]\d*)?)?", text, re.ASCII)
    if parts:
        return slice(*(int(part) if part else None for part in parts.groups()))
    message = f"--frames must be like 0:100, 50: or ::2 (first:end:step), got {text!r}"
    if re.fullmatch(r"\d+", text, re.ASCII):
        message += f"; the first {text} frames are 0:{text}, "
        message += f"frame {text} alone is {text}:{int(text) + 1}"
    raise UsageError(message)
