"""Orders: what a page may change, read from the JSON of strangers: all of it makes sense, or none of it is done."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from imavatar_deploy.errors import InputError, unknown_name

from ..sink import Controls

MOST_BYTES = 1024

FARTHEST_TURN = 2 * math.pi
"""Radians in one order."""

MOST_ZOOM = 10.0
"""Times in one order, either way."""


@dataclass(frozen=True)
class ViewerCommand:
    """One key of the JSON object."""

    expects: str
    accepts: Callable[[Any], bool]
    obey: Callable[[Controls, Any], None]


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


ORDERS = {
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
"""The table of what may be asked."""


def obey(body: bytes, controls: Controls) -> None:
    """Do what a JSON object asks for; its keys are rows of `ORDERS`.

    Raises:
        InputError, UsageError: it is not such an object; nothing of it was done.
    """
    asked = _read(body)
    for name, value in asked.items():
        if name not in ORDERS:
            raise unknown_name("order", name, ORDERS)
        if not ORDERS[name].accepts(value):
            raise InputError(f"{name} must be {ORDERS[name].expects}")
    for name, value in asked.items():
        ORDERS[name].obey(controls, value)


def _read(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError("an order must be a JSON object") from error
    if not isinstance(asked, dict):
        raise InputError(f"an order must be a JSON object, got {type(asked).__name__}")
    return asked


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
