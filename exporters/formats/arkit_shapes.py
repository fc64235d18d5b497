"""ARKit's shapes of an avatar whose head model has none, by a map of `imavatar-data fit-map`.

Each shape is the face that the map makes of its full weight: expressions, jaw and eyes together.
The bias of a map, which is the neutral face of its tracker, is left out.

The expressions of a head model may move both eyes alike. The best fit of a shape of one eye is then
half of it on both sides: a wink is two half-closed eyes. Such a pair of shapes is separated: the
sum of both, which is right, is divided at the middle of the face. Left and right together move the
face as before.

A trained avatar may close its lids less than its head model does by the same codes. Blinks are then
amplified until the lids move as far as those of the head model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import BONES, UNITS_PER_METRE
from imavatar_deploy.errors import EditionMismatchError, InputError, UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES
from imavatar_deploy.retarget.expression_map import ExpressionMap, split

from ..settings import ExportSettings
from ..skeleton import NEUTRAL_EXPRESSION, REST_POSE
from .format import Source
from .gltf.morph_targets import MIN_OFFSET_MM, MorphTarget
from .named_poses import NamedPose

MAP_COMMAND = (
    "imavatar-data fit-map --from openhead --to HEAD_MODEL --edition {edition} --out arkit.npz"
)
"""The command that makes a map, for a head model's file HEAD_MODEL."""

SIDED = (
    "eyeBlink",
    "eyeSquint",
    "eyeWide",
    "browDown",
    "browOuterUp",
    "cheekSquint",
    "noseSneer",
)
"""Pairs of shapes that are apart from the middle of the face, without Left or Right."""

BLINKS = ("eyeBlinkLeft", "eyeBlinkRight")

LID_SHARE = 0.7
"""Vertices of the head model that a blink moves by this share of its largest motion are lids."""

LEAST_CLOSING = 0.1
"""Share of the head model's motion of the lids below which an avatar has no blink to amplify."""

ENOUGH_CLOSING = 0.9
"""Share from which a blink is left as it is."""

LARGEST_GAIN = 4.0

MOST_LEAK = 0.1
"""Share of a shape's energy on the other side above which its pair is separated."""

BLEND = 0.5
"""Half of the width over which a pair is divided, as a share of an eye's distance from the
middle."""


def arkit_poses(expression_map: ExpressionMap | None) -> list[NamedPose]:
    """The face of each of ARKit's shapes at its full weight; none without a map."""
    if expression_map is None:
        return []
    return [
        NamedPose(name, *split(controls, REST_POSE))
        for name, controls in zip(ARKIT_NAMES, expression_map.matrix, strict=True)
    ]


def shape_targets(
    avatar: Avatar, poses: Sequence[NamedPose], head: HeadModel | None
) -> list[MorphTarget]:
    """One morph target for each pose that moves the avatar's surface.

    Args:
        avatar: the baked avatar, with the limits of the file.
        poses: expressions and poses of a whole shape.
        head: the avatar's head model, by which weak blinks are amplified; None leaves them.
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
    offsets = {target.name: target.offset for target in _separated(avatar, targets)}
    blinks = [named for named in poses if named.name in BLINKS]
    if head is not None:
        for name in [named.name for named in blinks]:
            offsets[name] = _gain(avatar, offsets[name], name, blinks, head) * offsets[name]
    final = [MorphTarget(name, offset) for name, offset in offsets.items()]
    return [target for target in final if target.largest_mm >= MIN_OFFSET_MM]


def _gain(
    avatar: Avatar,
    offset: Float32[Array, "3 V"],
    name: str,
    blinks: Sequence[NamedPose],
    head: HeadModel,
) -> np.float32:
    """Factor at which the lids of one eye move as far as those of the head model.

    Args:
        avatar: the baked avatar.
        offset: its motion in this blink, model units.
        name: the blink.
        blinks: faces of both blinks, each of which may move both eyes.
        head: the head model.
    """
    still = head.vertices(NEUTRAL_EXPRESSION, REST_POSE)
    closed = sum(head.vertices(named.expression, named.pose) - still for named in blinks)
    eyes = head.joints(NEUTRAL_EXPRESSION)[-2:, 0]
    eye = eyes[0] if name.endswith("Left") else eyes[1]
    near_eye = (still[:, 0] - eyes.mean()) / (eye - eyes.mean()) > BLEND
    motion = np.asarray(closed) * near_eye[:, None]
    distance = np.linalg.norm(motion, axis=1)
    if not distance.any():
        return np.float32(1)
    lids = distance >= LID_SHARE * distance.max()
    rest = avatar.rest.T / np.float32(UNITS_PER_METRE)
    nearest = [int(np.linalg.norm(rest - point, axis=1).argmin()) for point in still[lids]]
    moved = offset.T[nearest] / np.float32(UNITS_PER_METRE)
    closing = float((moved * motion[lids]).sum() / (motion[lids] ** 2).sum())
    if not LEAST_CLOSING <= closing < ENOUGH_CLOSING:
        return np.float32(1)
    return np.float32(min(1 / closing, LARGEST_GAIN))


def _separated(avatar: Avatar, targets: Sequence[MorphTarget]) -> list[MorphTarget]:
    """Targets in which each pair of `SIDED` that moves the other side, too, is divided."""
    offsets = {target.name: target.offset for target in targets}
    share_left = _share_of_the_left(avatar)
    for pair in SIDED:
        sides = {f"{pair}Left": share_left, f"{pair}Right": 1 - share_left}
        if not offsets.keys() >= sides.keys():
            continue
        if max(_leak(offsets[name], share) for name, share in sides.items()) > MOST_LEAK:
            whole = np.sum([offsets[name] for name in sides], axis=0)
            offsets |= {name: whole * share for name, share in sides.items()}
    return [MorphTarget(target.name, offsets[target.name]) for target in targets]


def _share_of_the_left(avatar: Avatar) -> Float32[Array, " V"]:
    """1 on the person's left, 0 on the right, smooth in the middle between the eyes."""
    left, right = (avatar.joints_rest[BONES.index(name), 0] for name in ("eyeL", "eyeR"))
    middle, width = (left + right) / 2, BLEND * (left - right) / 2
    x = np.clip((avatar.rest[0] - middle) / (2 * width) + 0.5, 0, 1)
    return np.asarray(x * x * (3 - 2 * x), dtype=np.float32)


def _leak(offset: Float32[Array, "3 V"], share: Float32[Array, " V"]) -> float:
    """Share of a displacement's energy outside the side with these shares."""
    energy = (offset.astype(float) ** 2).sum(axis=0)
    return float((energy * (1 - share)).sum() / max(energy.sum(), np.finfo(float).tiny))


def check_map(avatar: Source, settings: ExportSettings) -> None:
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


def require_arkit(avatar: Source, settings: ExportSettings) -> None:
    """`check_map`, for a format that is of no use without ARKit's shapes.

    Raises:
        UsageError: the head model has no ARKit shapes, and there is no map.
    """
    check_map(avatar, settings)
    if settings.arkit_map is None and not has_arkit_names(avatar.expression_names):
        raise UsageError(
            "programs drive a VRM, and a GLB of the profile talkinghead, by ARKit's shapes, which "
            f"the head model {avatar.edition} does not have: make a map with "
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
