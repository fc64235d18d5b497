"""ARKit's shapes of an avatar whose head model has none, by a map of `imavatar-data fit-map`.

Each shape is the face that the map makes of its full weight: expressions, jaw and eyes together.
The bias of a map, which is the neutral face of its tracker, is left out.

The expressions of a head model may move both eyes alike. The best fit of a shape of one eye is then
half of it on both sides: a wink is two half-closed eyes. Such a pair of shapes is separated: the
sum of both, which is right, is divided at the middle of the face. Left and right together move the
face as before.

A trained avatar may close its lids less than its head model does by the same codes. Blinks are then
amplified until the lids move as far as those of the head model, and nowhere beyond its motion.
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

BLINK_REACH = (0.004, 0.016)
"""Distances from a vertex of the head model, metres, within which an amplified blink may move the
surface as far as that vertex, and beyond which its motion permits none."""

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
            offsets[name] = _amplified(avatar, offsets[name], name, blinks, head)
    final = [MorphTarget(name, offset) for name, offset in offsets.items()]
    return [target for target in final if target.largest_mm >= MIN_OFFSET_MM]


def _amplified(
    avatar: Avatar,
    offset: Float32[Array, "3 V"],
    name: str,
    blinks: Sequence[NamedPose],
    head: HeadModel,
) -> Float32[Array, "3 V"]:
    """A blink whose lids move as far as those of the head model.

    The rest of the surface moves with them, but where it would leave the head model's motion
    behind, as inside a mouth that a trained blink moves, it stays as it is learned.

    Args:
        avatar: the baked avatar.
        offset: its motion in this blink, model units.
        name: the blink.
        blinks: faces of both blinks, each of which may move both eyes.
        head: the head model.
    """
    still = head.vertices(NEUTRAL_EXPRESSION, REST_POSE)
    closed = np.asarray(
        sum(head.vertices(named.expression, named.pose) - still for named in blinks)
    )
    eyes = head.joints(NEUTRAL_EXPRESSION)[-2:, 0]
    eye = eyes[0] if name.endswith("Left") else eyes[1]
    side = (still[:, 0] - eyes.mean()) / (eye - eyes.mean())
    rest = avatar.rest.T / np.float32(UNITS_PER_METRE)
    moved = offset.T / np.float32(UNITS_PER_METRE)
    gain = _gain(rest, moved, still, closed * (side > BLEND)[:, None])
    length = np.linalg.norm(moved, axis=1)
    share = _smooth(side / (2 * BLEND) + 0.5)
    limit = _reach_of(rest, still, np.linalg.norm(closed, axis=1) * share)
    factor = np.clip(limit / np.maximum(length, np.finfo(np.float32).tiny), 1, gain)
    return np.asarray(factor * offset, dtype=np.float32)


def _gain(
    rest: Float32[Array, "V 3"],
    moved: Float32[Array, "V 3"],
    still: Float32[Array, "W 3"],
    motion: Float32[Array, "W 3"],
) -> float:
    """Factor at which the lids of an avatar move as far as those of the head model.

    Args:
        rest: vertices of the avatar, metres.
        moved: their displacements in a blink.
        still: vertices of the head model.
        motion: their displacements, of one eye alone.
    """
    distance = np.linalg.norm(motion, axis=1)
    if not distance.any():
        return 1.0
    lids = distance >= LID_SHARE * distance.max()
    nearest = [int(np.linalg.norm(rest - point, axis=1).argmin()) for point in still[lids]]
    closing = float((moved[nearest] * motion[lids]).sum() / (motion[lids] ** 2).sum())
    return min(1 / closing, LARGEST_GAIN) if LEAST_CLOSING <= closing < ENOUGH_CLOSING else 1.0


def _reach_of(
    points: Float32[Array, "V 3"], still: Float32[Array, "W 3"], distance: Float32[Array, " W"]
) -> Float32[Array, " V"]:
    """How far the head model moves around each point, metres; it changes smoothly along a surface.

    Args:
        points: of the avatar.
        still: vertices of the head model.
        distance: how far each of them moves.
    """
    near, far = BLINK_REACH
    reach = np.zeros(len(points), dtype=np.float32)
    for place, moved in zip(still[distance > 0], distance[distance > 0], strict=True):
        share = _smooth((far - np.linalg.norm(points - place, axis=1)) / (far - near))
        np.maximum(reach, moved * share, out=reach)
    return reach


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
    return _smooth((avatar.rest[0] - middle) / (2 * width) + 0.5)


def _smooth(x: Float32[Array, " N"]) -> Float32[Array, " N"]:
    """0 up to 0, 1 from 1 on, with a continuous slope between."""
    x = np.clip(x, 0, 1)
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
