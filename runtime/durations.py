"""Durations as people write them on a command line: `16.7ms`, `2s`, `30min`, or a plain number of seconds."""

from __future__ import annotations

import re
from typing import Any

import click

from imavatar_deploy.errors import UsageError

UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}


def seconds_of(text: str) -> float:
    """Seconds that a text means.

    Raises:
        UsageError: it is no duration.
    """
    parts = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) ?(\w*)", text.strip())
    if not parts or parts[2] not in UNITS:
        raise UsageError(f"a duration is like 16.7ms, 2s or 30min, got {text!r}")
    return float(parts[1]) * UNITS[parts[2]]


class Duration(click.ParamType):  # type: ignore[type-arg]
    """The type of an option that takes a duration; its value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See `click.ParamType`."""
        if isinstance(value, float):
            return value
        try:
            return seconds_of(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


DURATION = Duration()
