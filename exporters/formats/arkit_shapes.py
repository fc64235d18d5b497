"""ARKit's shapes of an avatar whose head model has none, by a map of `imavatar-data fit-map`.

Each shape is the face that the map makes of its full weight: expressions, jaw and eyes together.
The bias of a map, which is the neutral face of its tracker, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.errors import EditionMismatchError, InputError, UsageError
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES
from imavatar_deploy.retarget.expression_map import ExpressionMap, split

from ..settings import ExportSettings
from ..skeleton import NEUTRAL_EXPRESSION, REST_POSE
from .gltf.morph_targets import MIN_OFFSET_MM, MorphTarget
from .named_poses import NamedPose

MAP_COMMAND = (
    "imavatar-data fit-map --from openhead --to HEAD_MODEL --edition {edition} --out arkit.npz"
)
"""The command that makes a map, for a head model's file HEAD_MODEL."""


def arkit_poses(expression_map: ExpressionMap | None) -> list[NamedPose]:
    """The face of each of ARKit's shapes at its full weight; none without a map."""
    if expression_map is None:
        return []
    return [
        NamedPose(name, *split(controls, REST_POSE))
        for name, controls in zip(ARKIT_NAMES, expression_map.matrix, strict=True)
    ]


def shape_targets(avatar: Avatar, poses: Sequence[NamedPose]) -> list[MorphTarget]:
    """One morph target for each pose that moves the avatar's surface.

    Args:
        avatar: the baked avatar, with the limits of the file.
        poses: expressions and poses of a whole shape.
    """
    rest = pose_plainly(avatar, NEUTRAL_EXPRESSION, REST_POSE).vertices
    targets = [
        MorphTarget(
            named.name,
            np.ascontiguousarray(
                (pose_plainly(avatar, named.expression, named.pose).vertices - rest).T
            ),
        )
        for named in poses
    ]
    return [target for target in targets if target.largest_mm >= MIN_OFFSET_MM]


def check_map(avatar: ImplicitAvatar, settings: ExportSettings) -> None:
    """Raise an error if the map does not fit the avatar.

    Raises:
        UsageError: the head model has ARKit's shapes itself.
        InputError: the map does not read ARKit's shapes.
        EditionMismatchError: the map was made for another head model.
    """
    expression_map = settings.arkit_map
    if expression_map is None:
        return
    if has_arkit_names(avatar.expression_names):
        raise UsageError(
            f"the expressions of {avatar.edition} are ARKit's shapes already; leave --map out"
        )
    if expression_map.source != ARKIT:
        raise InputError(
            f"the map reads {expression_map.source}, and an export needs one of ARKit's shapes: "
            f"{MAP_COMMAND.format(edition=avatar.edition)} makes it"
        )
    if expression_map.target not in (None, avatar.edition):
        raise EditionMismatchError(
            f"the map is made for {expression_map.target} and the avatar for {avatar.edition}, "
            f"whose codes mean different faces: {MAP_COMMAND.format(edition=avatar.edition)} "
            "makes one for it"
        )


def require_arkit(avatar: ImplicitAvatar, settings: ExportSettings) -> None:
    """`check_map`, for a format that is of no use without ARKit's shapes.

    Raises:
        UsageError: the head model has no ARKit shapes, and there is no map.
    """
    check_map(avatar, settings)
    if settings.arkit_map is None and not has_arkit_names(avatar.expression_names):
        raise UsageError(
            "programs drive a VRM by ARKit's shapes and VRM's presets, which the head model "
            f"{avatar.edition} does not have: make a map with "
            f"`{MAP_COMMAND.format(edition=avatar.edition)}` and give it with --map arkit.npz"
        )


def has_arkit_names(names: Sequence[str]) -> bool:
    """Whether shapes carry ARKit's names."""
    return not set(names).isdisjoint(ARKIT_NAMES)


def arkit_notes(names_of: Callable[[Path], Sequence[str]]) -> Callable[[Path], list[str]]:
    """Return a function that notes missing ARKit shapes of the file in an avatar folder.

    Args:
        names_of: returns the names of the file's shapes.
    """

    def notes(folder: Path) -> list[str]:
        names = names_of(folder)
        if has_arkit_names(names):
            return []
        return [
            f"the shapes of the file are {names[0]}, {names[1]} and so on, of the head model: "
            "programs that drive ARKit's shapes need --map FILE (imavatar-data fit-map makes one)"
        ]

    return notes
