"""Commands of the page: read from untrusted JSON, checked as a whole, applied to the controls."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from imavatar_deploy.errors import InputError, unknown_name

from ..sink import Controls

REQUEST_BYTES = 1024
"""Longest request."""

FARTHEST_TURN = 2 * math.pi
"""Largest angle of one command, radians."""

MOST_ZOOM = 10.0
"""Largest zoom factor of one command, in or out."""


@dataclass(frozen=True)
class ViewerCommand:
    """One key of the JSON object."""

    expects: str
    """The accepted values, in words."""
    accepts: Callable[[Any], bool]
    """Whether a value is accepted."""
    apply: Callable[[Controls, Any], None]


def _is_number(value: Any, least: float, most: float) -> bool:
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most
    )


def _is_turn(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(_is_number(angle, -FARTHEST_TURN, FARTHEST_TURN) for angle in value)
    )


def _pause(controls: Controls, value: bool) -> None:
    controls.paused = value


def _calibrate(controls: Controls, _: bool) -> None:
    controls.recalibrate = True


COMMANDS = {
    "orbit": ViewerCommand(
        f"[yaw, pitch] in radians, at most {FARTHEST_TURN:.2f} each",
        _is_turn,
        lambda controls, angles: controls.orbit(float(angles[0]), float(angles[1])),
    ),
    "zoom": ViewerCommand(
        f"a factor between {1 / MOST_ZOOM:g} and {MOST_ZOOM:g}",
        lambda value: _is_number(value, 1 / MOST_ZOOM, MOST_ZOOM),
        lambda controls, factor: controls.zoom_by(float(factor)),
    ),
    "pause": ViewerCommand("true or false", lambda value: isinstance(value, bool), _pause),
    "front": ViewerCommand(
        "true", lambda value: value is True, lambda controls, _: controls.reset()
    ),
    "calibrate": ViewerCommand("true", lambda value: value is True, _calibrate),
}
"""The table of commands."""


def apply_commands(body: bytes, controls: Controls) -> None:
    """Apply the commands in a JSON object, whose keys are rows of `COMMANDS`.

    Raises:
        InputError, UsageError: the object is malformed; none of its commands has been applied.
    """
    commands = _read(body)
    for name, value in commands.items():
        if name not in COMMANDS:
            raise unknown_name("command", name, COMMANDS)
        if not COMMANDS[name].accepts(value):
            raise InputError(f"{name} must be {COMMANDS[name].expects}")
    for name, value in commands.items():
        COMMANDS[name].apply(controls, value)


def _read(body: bytes) -> dict[str, Any]:
    try:
        commands = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError("a command must be a JSON object") from error
    if not isinstance(commands, dict):
        raise InputError(f"a command must be a JSON object, got {type(commands).__name__}")
    return commands


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
