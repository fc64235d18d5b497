"""Options of a camera or a clip in a `--source` argument: `?focal=PIXELS`."""

from __future__ import annotations

import re

from imavatar_deploy.errors import UsageError

FOCAL_RANGE = (50.0, 100_000.0)
"""Focal lengths that are read, pixels."""

_OPTION = re.compile(r"\?(\w+)=([^?=]*)$")


def split_options(text: str) -> tuple[str, str]:
    """Split `clip.mp4?focal=1200` into the name and the option; a `?` in a name stays there."""
    match = _OPTION.search(text)
    return (text[: match.start()], match.group()) if match else (text, "")


def read_focal(target: str, option: str) -> float | None:
    """Return the focal length in pixels of an option of `split_options`; None where there is none.

    Raises:
        UsageError: another option, or no possible focal length.
    """
    if not option:
        return None
    name, _, value = option[1:].partition("=")
    number = float(value) if re.fullmatch(r"\d{1,6}(\.\d*)?", value) else 0.0
    if name != "focal" or not FOCAL_RANGE[0] <= number <= FOCAL_RANGE[1]:
        raise UsageError(
            "the option of a camera or clip is its focal length in pixels, "
            f"{FOCAL_RANGE[0]:g} to {FOCAL_RANGE[1]:g}, as in ?focal=900, got {target!r}"
        )
    return number
