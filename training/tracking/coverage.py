"""Coverage of a track: the head poses and the expressions that a video shows, in plain units.

Angles are in degrees. Left and right are the person's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Float, Float32, Int64
from imavatar_deploy.kinematics import rotations

REACHED_FRAMES = 3
"""Number of frames that must reach a value before it counts: one frame may be a wrong fit."""

YAW_EDGES = np.arange(-60.0, 61.0, 10.0)
PITCH_EDGES = np.arange(-40.0, 41.0, 10.0)
"""Edges of the bins of head poses, degrees. Beyond 60 degrees of yaw the landmark network sees too
little of the face; outer bins include what lies beyond them."""


# Head poses


@dataclass(frozen=True, eq=False)
class HeadAngles:
    """Orientation of the head against the camera's axis, degrees."""

    yaw: Float32[Array, " T"]
    """Positive where the face turns to the person's own left."""
    pitch: Float32[Array, " T"]
    """Positive where the face looks up."""
    roll: Float32[Array, " T"]
    """Positive where the head tilts to the person's own right shoulder."""

    @classmethod
    def of(cls, pose: Float[Array, "T 15"]) -> HeadAngles:
        """Compute the angles of the head: global rotation and neck together."""
        matrices = rotations(pose)
        head = (matrices[:, 0] @ matrices[:, 1]).astype(np.float64)
        yaw = np.arctan2(head[:, 0, 2], head[:, 2, 2])
        pitch = np.arcsin(np.clip(head[:, 1, 2], -1.0, 1.0))
        roll = np.arctan2(head[:, 1, 0], head[:, 1, 1])
        return cls(*(np.degrees(angle).astype(np.float32) for angle in (yaw, pitch, roll)))


def jaw_opening(pose: Float[Array, "T 15"]) -> Float32[Array, " T"]:
    """Return the opening of the jaw, degrees."""
    return np.degrees(pose[:, 6]).astype(np.float32)


def gaze_angles(pose: Float[Array, "T 15"]) -> tuple[Float32[Array, " T"], Float32[Array, " T"]]:
    """Return the gaze against the head, degrees: to the own left, and up. Mean of both eyes."""
    eyes = np.degrees((pose[:, 9:12] + pose[:, 12:15]) / 2)
    return eyes[:, 1].astype(np.float32), -eyes[:, 0].astype(np.float32)


def reached(values: Float[Array, " T"]) -> float:
    """Return the largest value that `REACHED_FRAMES` frames reach."""
    rank = min(REACHED_FRAMES, len(values))
    return float(np.sort(values)[-rank])


@dataclass(frozen=True)
class PoseGoal:
    """A direction in which the head should turn."""

    code: str
    name: str
    request: str
    """What the person should do, as a sentence without its full stop."""
    required: float
    """Degrees that are good."""


POSE_GOALS = (
    PoseGoal("turn-left", "to the left", "Turn further to the left", 25.0),
    PoseGoal("turn-right", "to the right", "Turn further to the right", 25.0),
    PoseGoal("look-up", "up", "Look further up", 10.0),
    PoseGoal("look-down", "down", "Look further down", 10.0),
)
"""Directions with the angles that are good. At 25 degrees of yaw the ear and the side of the cheek
come into view, and the depth of nose and skull shows; a talking head rarely nods by more than 10
degrees. The bundled synthetic videos turn by 33 and 10 degrees."""


@dataclass(frozen=True)
class PoseReach:
    """How far the head turned in a direction."""

    goal: PoseGoal
    degrees: float

    @property
    def enough(self) -> bool:
        """Whether the required angle is reached."""
        return self.degrees >= self.goal.required


def pose_reach(angles: HeadAngles) -> tuple[PoseReach, ...]:
    """Return how far the head turned in each direction of `POSE_GOALS`."""
    values = (angles.yaw, -angles.yaw, angles.pitch, -angles.pitch)
    return tuple(
        PoseReach(goal, max(0.0, reached(value)))
        for goal, value in zip(POSE_GOALS, values, strict=True)
    )


def pose_histogram(angles: HeadAngles) -> Int64[Array, "P Y"]:
    """Return the number of frames by pitch (rows, ascending) and yaw (columns, ascending)."""
    counts, _, _ = np.histogram2d(
        np.clip(angles.pitch, PITCH_EDGES[0], PITCH_EDGES[-1]),
        np.clip(angles.yaw, YAW_EDGES[0], YAW_EDGES[-1]),
        bins=(PITCH_EDGES, YAW_EDGES),
    )
    return np.asarray(counts, dtype=np.int64)


# Expressions


@dataclass(frozen=True)
class ExpressionGoal:
    """An expression that a video should show."""

    code: str
    name: str
    request: str
    """What the person should do, as a sentence without its full stop."""
    shapes: tuple[str, ...]
    """Expressions of the head model whose mean is the strength; `jaw` is the opening in degrees."""
    required: float
    """Strength that is good: 0..1, for the jaw degrees."""
    needed: bool = False
    """Whether an avatar is visibly worse without it."""

    @property
    def unit(self) -> str:
        """Unit of the strength."""
        return "degrees" if self.shapes == ("jaw",) else ""

    def text(self, strength: float) -> str:
        """Return a strength in words, rounded down."""
        return f"{int(strength)} {self.unit}" if self.unit else f"{int(100 * strength + 1e-6)} %"


def _both(*names: str) -> tuple[str, ...]:
    return tuple(name + side for name in names for side in ("Left", "Right"))


EXPRESSION_GOALS = (
    ExpressionGoal("open-mouth", "open mouth", "Open your mouth wide", ("jaw",), 14.0, True),
    ExpressionGoal("smile", "smile", "Smile broadly", _both("mouthSmile"), 0.5, True),
    ExpressionGoal("blink", "blink", "Close your eyes for a moment", _both("eyeBlink"), 0.6, True),
    ExpressionGoal("brows-up", "brows up", "Raise your brows",
                   ("browInnerUp", *_both("browOuterUp")), 0.45, True),
    ExpressionGoal("brows-down", "brows down", "Draw your brows together, as if angry",
                   _both("browDown"), 0.4),
    ExpressionGoal("pucker", "pucker", "Purse your lips, as for a kiss", ("mouthPucker",), 0.4),
    ExpressionGoal("teeth", "show teeth", "Show your teeth, as in “cheese”",
                   _both("mouthUpperUp", "mouthLowerDown"), 0.3),
    ExpressionGoal("funnel", "round lips", "Say a long “oh”", ("mouthFunnel",), 0.3),
    ExpressionGoal("mouth-left", "mouth to the left", "Move your mouth to the left",
                   ("mouthLeft",), 0.3),
    ExpressionGoal("mouth-right", "mouth to the right", "Move your mouth to the right",
                   ("mouthRight",), 0.3),
    ExpressionGoal("wide-eyes", "eyes wide open", "Open your eyes wide", _both("eyeWide"), 0.35),
    ExpressionGoal("cheeks", "puffed cheeks", "Puff your cheeks", ("cheekPuff",), 0.3),
)  # fmt: skip
"""Expressions with the strengths that are good: two thirds of what the bundled synthetic videos
`train+` show. The jaw opens by 11 degrees in speech and by 23 in a wide yawn. Landmarks hardly see
puffed cheeks, which is why nothing depends on them."""


@dataclass(frozen=True)
class ExpressionReach:
    """How strongly a video shows an expression."""

    goal: ExpressionGoal
    strength: float
    frame: int
    """Index of the frame with the largest strength."""

    @property
    def enough(self) -> bool:
        """Whether the required strength is reached."""
        return self.strength >= self.goal.required


def expression_reach(
    expression: Float[Array, "T 50"], pose: Float[Array, "T 15"], names: Sequence[str]
) -> tuple[ExpressionReach, ...]:
    """Return the strength of every expression of `EXPRESSION_GOALS` that the head model names.

    Args:
        expression: of the frames.
        pose: of the frames.
        names: the head model's expressions. FLAME's codes have no names, so that the jaw alone is
            measured there.
    """
    columns = {name: index for index, name in enumerate(names)}
    reaches = []
    for goal in EXPRESSION_GOALS:
        if goal.shapes == ("jaw",):
            values = jaw_opening(pose)
        elif all(name in columns for name in goal.shapes):
            values = expression[:, [columns[name] for name in goal.shapes]].mean(axis=1)
        else:
            continue
        reaches.append(ExpressionReach(goal, max(0.0, reached(values)), int(values.argmax())))
    return tuple(reaches)


def _without_side(name: str) -> str:
    """Name of an expression without its side; `mouthLeft` and `jawLeft` are one-sided motions."""
    stem = name.removesuffix("Left").removesuffix("Right")
    return name if stem in ("mouth", "jaw") else stem


def strongest(
    expression: Float[Array, "T 50"], names: Sequence[str], count: int
) -> tuple[tuple[str, Float32[Array, " T"]], ...]:
    """Return the expressions with the widest range over the frames: names and values.

    The left and the right side of an expression are one, with their mean.
    """
    sides: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        sides.setdefault(_without_side(name), []).append(index)
    means = {name: expression[:, columns].mean(axis=1) for name, columns in sides.items()}
    order = sorted(means, key=lambda name: -float(np.ptp(means[name])))[:count]
    return tuple((name, means[name].astype(np.float32)) for name in order)
