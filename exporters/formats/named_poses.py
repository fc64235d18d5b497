"""Expressions and poses by name: from a track, from a small JSON file, or the presets of a head model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE
from imavatar_deploy.errors import InputError, UsageError, unknown_name
from imavatar_deploy.tracks import check_edition, read_track

from ..fidelity.reference_poses import CORNERS, FLAME_CORNER, proof_poses
from ..skeleton import AT_REST, NEUTRAL

Float = NDArray[np.float32]

PRESETS = "presets"
"""The word for `presets`."""

JAW_OPEN = 0.35
"""Radians: as far as the corner poses go."""


@dataclass(frozen=True)
class NamedPose:
    """One face to make a mesh of."""

    name: str
    """Fit for the name of a file."""
    expression: Float  # [50]
    pose: Float  # [15]


def named_poses(source: str | Path, edition: str, expressions: Sequence[str]) -> list[NamedPose]:
    """The faces that `source` names.

    Args:
        source: the word `presets`; a track file, whose frames have names; or JSON such as
            `{"smile": {"expression": {"mouthSmileLeft": 1}, "pose": {"jaw": [0.2, 0, 0]}}}`.
        edition: the head model of the avatar.
        expressions: its expressions by name.

    Raises:
        InputError: the file cannot be read, or names what the head model does not have.
        EditionMismatchError: a track made for another head model.
    """
    if str(source) == PRESETS:
        return presets(edition, expressions)
    document = _json_without_frames(Path(source))
    found = (
        _from_track(source, edition)
        if document is None
        else _from_names(Path(source), document, expressions)
    )
    return _each_name_once(found)


def presets(edition: str, expressions: Sequence[str]) -> list[NamedPose]:
    """Neutral, every expression at full strength, the jaw open, and corners of expression and pose together."""
    strength = 1.0 if edition == "openhead" else FLAME_CORNER
    alone = [
        NamedPose(_plain(name), strength * row, AT_REST)
        for name, row in zip(expressions, np.eye(len(expressions), dtype=np.float32), strict=True)
    ]
    corners = proof_poses(edition)
    return [
        NamedPose("neutral", NEUTRAL, AT_REST),
        *alone,
        NamedPose("jaw_open", NEUTRAL, _pose({"jaw": (JAW_OPEN, 0, 0)})),
        *(
            NamedPose(f"corner_{number}", corners.expression[number], corners.pose[number])
            for number in range(1, len(CORNERS))
        ),
    ]


def _json_without_frames(path: Path) -> Mapping[str, Any] | None:
    """What a JSON file holds that is no track; None for everything else, of which `read_track` knows what to say."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError):
        return None
    return document if isinstance(document, dict) and "frames" not in document else None


def _from_track(source: str | Path, edition: str) -> list[NamedPose]:
    track = read_track(source)
    check_edition(track.edition, edition)
    return [
        NamedPose(_plain(f"frame_{frame.name}"), frame.expression, frame.pose)
        for frame in track.frames()
    ]


def _from_names(
    path: Path, document: Mapping[str, Any], expressions: Sequence[str]
) -> list[NamedPose]:
    if not document:
        raise InputError(
            f"{path} names no expression; expected an object such as {{'smile': {{'expression': ...}}}}"
        )
    try:
        return [_named(name, given, expressions) for name, given in document.items()]
    except (InputError, UsageError) as error:
        raise InputError(f"{path}: {error}") from error


def _named(name: str, given: Any, expressions: Sequence[str]) -> NamedPose:
    if name != _plain(name):
        raise InputError(
            f"{name!r} cannot be the name of a file; use letters, digits, '.', '-' and '_'"
        )
    parts: dict[str, Callable[[Any], Float]] = {
        "expression": lambda values: _expression(name, values, expressions),
        "pose": lambda values: _pose(_object(f"pose of {name}", values)),
    }
    values = {"expression": {}, "pose": {}} | dict(_object(name, given))
    for part in values:
        if part not in parts:
            raise unknown_name(f"part of {name}", part, parts)
    return NamedPose(name, parts["expression"](values["expression"]), parts["pose"](values["pose"]))


def _object(name: str, given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InputError(f"{name} must be an object, got {given!r:.40}")
    return given


def _expression(name: str, given: Any, expressions: Sequence[str]) -> Float:
    """[50] from an object of names, or all values in a list."""
    if isinstance(given, list):
        return as_float32(f"expression of {name}", given, (EXPRESSION_SIZE,))
    values = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
    for expression, value in _object(f"expression of {name}", given).items():
        if expression not in expressions:
            raise unknown_name("expression", expression, expressions)
        values[list(expressions).index(expression)] = as_float32(
            expression, [value], (1,), "give one number"
        )[0]
    return values


def _pose(given: Mapping[str, Any]) -> Float:
    """[15] from an object of axis-angles."""
    for bone in given:
        if bone not in BONES:
            raise unknown_name("bone", bone, BONES)
    rows = [as_float32(bone, given.get(bone, (0, 0, 0)), (3,)) for bone in BONES]
    return np.concatenate(rows)


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name).lstrip(".") or "_"


def _each_name_once(poses: list[NamedPose]) -> list[NamedPose]:
    names = [pose.name for pose in poses]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"the name {twice!r} is given twice; every mesh needs its own")
    return poses
