"""NamedPose: expressions and poses by name, from a track, a JSON file or the presets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE
from imavatar_deploy.errors import InputError, UsageError, unknown_name
from imavatar_deploy.tracks import check_edition, read_track
from imavatar_deploy.tracks.formats import BUNDLED

from ..fidelity.reference_poses import CORNERS, FLAME_CORNER, reference_poses
from ..skeleton import NEUTRAL_EXPRESSION, REST_POSE

PRESETS = "presets"
"""The word that selects `presets`."""

JAW_OPEN = 0.35
"""Angle of the open jaw, radians; as large as in the corner poses."""


@dataclass(frozen=True)
class NamedPose:
    """An expression and a pose with a name."""

    name: str
    """Suitable as a file name."""
    expression: Float32[Array, " E"]
    pose: Float32[Array, "15"]


def named_poses(source: str | Path, edition: str, expressions: Sequence[str]) -> list[NamedPose]:
    """Read named expressions and poses.

    Args:
        source: the word `presets`; a track file, whose frames have names; or JSON such as
            `{"smile": {"expression": {"mouthSmileLeft": 1}, "pose": {"jaw": [0.2, 0, 0]}}}`.
        edition: the head model of the avatar.
        expressions: names of its expressions.

    Raises:
        InputError: the file cannot be read, or names an expression or bone that the head model
            does not have.
        EditionMismatchError: the track was made for another head model.
    """
    if str(source) == PRESETS:
        return presets(edition, expressions)
    if str(source) not in BUNDLED and not Path(source).exists():
        raise InputError(_no_source(Path(source), expressions))
    document = _json_without_frames(Path(source))
    poses = (
        _from_track(source, edition)
        if document is None
        else _from_names(Path(source), document, expressions)
    )
    _ensure_unique_names(poses)
    return poses


def _no_source(path: Path, expressions: Sequence[str]) -> str:
    """The message about a source that does not exist, with the nearest words, files and shapes."""
    words = (PRESETS, *BUNDLED)
    beside = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, [*words, *beside])
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    if shapes := get_close_matches(path.name, expressions):
        example = json.dumps({shapes[0]: {"expression": {shapes[0]: 1}}})
        hint = f"; for the expression {' or '.join(shapes)}, give a JSON file such as {example}"
    return (
        f"there is no file {str(path)!r} of expressions: give a track, a JSON file of named faces, "
        f"or one of the words {', '.join(map(repr, words))}{hint}"
    )


def presets(edition: str, expressions: Sequence[str]) -> list[NamedPose]:
    """Neutral, every expression at full strength, the open jaw, corners of expression and pose."""
    strength = 1.0 if edition == "openhead" else FLAME_CORNER
    single = [
        NamedPose(_file_name(name), strength * row, REST_POSE)
        for name, row in zip(expressions, np.eye(len(expressions), dtype=np.float32), strict=True)
    ]
    corners = reference_poses(edition)
    return [
        NamedPose("neutral", NEUTRAL_EXPRESSION, REST_POSE),
        *single,
        NamedPose("jaw_open", NEUTRAL_EXPRESSION, _pose({"jaw": (JAW_OPEN, 0, 0)})),
        *(
            NamedPose(f"corner_{number}", corners.expression[number], corners.pose[number])
            for number in range(1, len(CORNERS))
        ),
    ]


def _json_without_frames(path: Path) -> Mapping[str, Any] | None:
    """The object in a JSON file that is not a track; None for other files, left to `read_track`."""
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
        NamedPose(_file_name(f"frame_{frame.name}"), frame.expression, frame.pose)
        for frame in track.frames()
    ]


def _from_names(
    path: Path, document: Mapping[str, Any], expressions: Sequence[str]
) -> list[NamedPose]:
    if not document:
        raise InputError(
            f"{path} names no expression; "
            "expected an object such as {'smile': {'expression': ...}}"
        )
    try:
        return [_parse_pose(name, entry, expressions) for name, entry in document.items()]
    except (InputError, UsageError) as error:
        raise InputError(f"{path}: {error}") from error


def _parse_pose(name: str, entry: Any, expressions: Sequence[str]) -> NamedPose:
    if name != _file_name(name):
        raise InputError(
            f"{name!r} cannot be the name of a file; use letters, digits, '.', '-' and '_'"
        )
    parts: dict[str, Callable[[Any], Float32[Array, " N"]]] = {
        "expression": lambda values: _expression(name, values, expressions),
        "pose": lambda values: _pose(_object(f"pose of {name}", values)),
    }
    values = {"expression": {}, "pose": {}} | dict(_object(name, entry))
    for part in values:
        if part not in parts:
            raise unknown_name(f"part of {name}", part, parts)
    return NamedPose(name, parts["expression"](values["expression"]), parts["pose"](values["pose"]))


def _object(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{name} must be an object, got {value!r:.40}")
    return value


def _expression(name: str, entry: Any, expressions: Sequence[str]) -> Float32[Array, " E"]:
    """Coefficients from an object with names of expressions, or from a list of all values."""
    if isinstance(entry, list):
        return as_float32(f"expression of {name}", entry, (EXPRESSION_SIZE,))
    values = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
    for expression, value in _object(f"expression of {name}", entry).items():
        if expression not in expressions:
            raise unknown_name("expression", expression, expressions)
        values[list(expressions).index(expression)] = as_float32(
            expression, [value], (1,), "give one number"
        )[0]
    return values


def _pose(rotations: Mapping[str, Any]) -> Float32[Array, "15"]:
    """Pose from an object with the axis-angles of bones."""
    for bone in rotations:
        if bone not in BONES:
            raise unknown_name("bone", bone, BONES)
    rows = [as_float32(bone, rotations.get(bone, (0, 0, 0)), (3,)) for bone in BONES]
    return np.concatenate(rows)


def _file_name(name: str) -> str:
    """`name` with other characters than letters, digits, '.', '-' and '_' replaced."""
    return re.sub(r"[^\w.-]", "_", name).lstrip(".") or "_"


def _ensure_unique_names(poses: list[NamedPose]) -> None:
    names = [pose.name for pose in poses]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"the name {twice!r} occurs twice; every mesh needs a name of its own")
