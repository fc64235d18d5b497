"""Motions of synthetic videos: mild speech, livelier speech, and strong expressions.

A motion is a sum of curves over time: visemes, expressions that come and go, blinks, glances and
rotations of the head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64
from imavatar_deploy.conventions import BONES, POSE_SIZE
from imavatar_deploy.optional import require

# Faces

FaceWeights = Mapping[str, float]
"""Weights of expressions by name, and `jaw` in radians; a name without a side means both sides."""

VISEMES: tuple[FaceWeights, ...] = (
    {},
    {"jaw": 0.19, "mouthLowerDown": 0.22, "mouthUpperUp": 0.25},
    {"jaw": 0.13, "mouthLowerDown": 0.28, "mouthUpperUp": 0.25, "mouthStretch": 0.18},
    {
        "jaw": 0.06,
        "mouthLowerDown": 0.32,
        "mouthUpperUp": 0.22,
        "mouthStretch": 0.30,
        "mouthSmile": 0.10,
    },
    {"jaw": 0.15, "mouthFunnel": 0.42, "mouthPucker": 0.12},
    {"jaw": 0.06, "mouthPucker": 0.50, "mouthFunnel": 0.20},
    {
        "jaw": 0.03,
        "mouthClose": 0.07,
        "mouthPress": 0.30,
        "mouthRollLower": 0.20,
        "mouthRollUpper": 0.12,
    },
    {"jaw": 0.04, "mouthLowerDown": 0.28, "mouthUpperUp": 0.16, "mouthStretch": 0.16},
    {"jaw": 0.09, "mouthLowerDown": 0.18, "mouthUpperUp": 0.15, "mouthDimple": 0.15},
    {"jaw": 0.06, "mouthFunnel": 0.22, "mouthPucker": 0.18, "mouthShrugLower": 0.2},
)
"""The face of each sound; the first is silence."""

MILD_EXPRESSIONS = {"mouthSmile": 0.35, "browInnerUp": 0.35, "browOuterUp": 0.30, "browDown": 0.25,
        "eyeSquint": 0.2, "eyeWide": 0.25, "cheekSquint": 0.2, "mouthFrown": 0.2,
        "noseSneer": 0.12}  # fmt: skip
"""Largest weights of the expressions of the set `train`."""

LIVELY_EXPRESSIONS = {"mouthSmile": 0.75, "browInnerUp": 0.7, "browOuterUp": 0.6, "browDown": 0.55,
          "eyeSquint": 0.4, "eyeWide": 0.5, "cheekSquint": 0.5, "mouthFrown": 0.5,
          "noseSneer": 0.35, "mouthPucker": 0.4, "cheekPuff": 0.4, "mouthLeft": 0.3,
          "mouthRight": 0.3, "jawLeft": 0.3, "jawRight": 0.3}  # fmt: skip
"""Largest weights of the expressions that `train+` adds."""

STRONG_EXPRESSIONS: tuple[FaceWeights, ...] = (
    {"jaw": 0.06, "mouthSmile": 1.0, "cheekSquint": 0.7, "mouthUpperUp": 0.45,
     "mouthLowerDown": 0.35, "mouthDimple": 0.4, "eyeSquint": 0.3},
    {"jaw": 0.40, "mouthLowerDown": 0.35, "mouthUpperUp": 0.35, "mouthStretch": 0.15},
    {"mouthPucker": 1.0, "mouthFunnel": 0.15, "mouthShrugLower": 0.35, "jaw": 0.02},
    {"browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 0.8},
    {"browDown": 1.0, "noseSneer": 0.8, "mouthFrown": 0.7, "eyeSquint": 0.5, "mouthPress": 0.3},
    {"jaw": 0.30, "browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 0.9, "mouthFunnel": 0.55},
    {"cheekPuff": 1.0, "mouthPress": 0.3, "browInnerUp": 0.3},
    {"jaw": 0.26, "mouthSmile": 0.9, "mouthUpperUp": 0.5, "cheekSquint": 0.8, "eyeSquint": 0.4,
     "browOuterUp": 0.5},
    {"mouthSmileLeft": 0.9, "mouthLeft": 0.5, "browOuterUpLeft": 0.8, "eyeSquintRight": 0.5,
     "cheekSquintLeft": 0.5},
    {"jaw": 0.10, "mouthStretch": 0.9, "mouthLowerDown": 0.8, "mouthFrown": 0.3,
     "browInnerUp": 0.7},
)  # fmt: skip
"""Faces of the set `test`.

Big smile, wide jaw, pout, raised brows, anger, surprise, puffed cheeks, laughter, smirk, grimace.
"""

# Motions

SECONDS = 6.0
"""Length of the sets `train` and `test`; with fewer frames than usual they lie further apart."""

SOUNDS_PER_SECOND = 7.0

BLINK_PERIOD = 1.7  # seconds

BLINK = ((-0.12, 0.0), (0.0, 1.0), (0.04, 1.0), (0.20, 0.0))
"""Seconds from the moment of a blink, and the weight of eyeBlink at each."""

HOLD_SHARE = 0.5
"""Share of its time for which a strong expression is constant; the rest blends into the next."""


@dataclass
class ScriptedMotion:
    """A motion to which curves are added one by one."""

    seconds: Float64[Array, " T"]
    expression: dict[str, Float64[Array, " T"]]  # by name
    pose: Float64[Array, "T 15"]

    @classmethod
    def blank(cls, seconds: Float64[Array, " T"], names: Sequence[str]) -> ScriptedMotion:
        """Return a motion at rest."""
        return cls(
            seconds,
            {name: np.zeros(len(seconds)) for name in names},
            np.zeros((len(seconds), POSE_SIZE)),
        )

    def add(self, name: str, values: Float64[Array, " T"]) -> None:
        """Add a curve to one expression, to both of its sides, or to the jaw.

        Args:
            name: an expression, an expression without its side, or `jaw`.
        """
        if name == "jaw":
            self.pose[:, 6] += values
            return
        for side in ("",) if name in self.expression else ("Left", "Right"):
            self.expression[name + side] += values

    def turn(self, bone: str, axis: int, values: Float64[Array, " T"]) -> None:
        """Rotate a bone about +x (nod down), +y (to the head's left) or +z (tilt to its right)."""
        self.pose[:, 3 * BONES.index(bone) + axis] += values


Script = Callable[[int, np.random.Generator, Sequence[str]], ScriptedMotion]
"""Number of frames, generator and names of the expressions -> the motion."""


def _times(seconds: float, frames: int) -> Float64[Array, " T"]:
    return np.asarray(np.linspace(0.0, seconds, frames, endpoint=False), dtype=np.float64)


def train(frames: int, rng: np.random.Generator, names: Sequence[str]) -> ScriptedMotion:
    """Wide rotations of the head with mild speech."""
    motion = ScriptedMotion.blank(_times(SECONDS, frames), names)
    _turn_head(motion, rng, yaw=0.57, pitch=0.17)
    _talk(motion, rng, 1.0)
    _vary_expressions(motion, rng, MILD_EXPRESSIONS)
    _blink(motion, rng)
    _glance(motion, rng)
    return motion


def train_plus(frames: int, rng: np.random.Generator, names: Sequence[str]) -> ScriptedMotion:
    """The motion of `train`, and 30 % more frames of livelier expressions."""
    first = round(frames / 1.3)
    motion = train(first, rng, names)
    if first == frames:
        return motion
    seconds = _times(0.3 * SECONDS, frames - first)
    more = ScriptedMotion.blank(seconds, names)
    _turn_head(more, rng, yaw=0.40, pitch=0.12)
    _talk(more, rng, 1.5)
    _vary_expressions(more, rng, LIVELY_EXPRESSIONS)
    _blink(more, rng)
    _glance(more, rng)
    return ScriptedMotion(
        np.concatenate([motion.seconds, SECONDS + seconds]),
        {name: np.concatenate([motion.expression[name], more.expression[name]]) for name in names},
        np.concatenate([motion.pose, more.pose]),
    )


def test(frames: int, rng: np.random.Generator, names: Sequence[str]) -> ScriptedMotion:
    """Strong expressions one after the other, each held for a moment; the head turns a little."""
    motion = ScriptedMotion.blank(_times(SECONDS, frames), names)
    _turn_head(motion, rng, yaw=0.35, pitch=0.10)
    strengths = rng.uniform(0.9, 1.0, len(STRONG_EXPRESSIONS))
    slot = SECONDS / len(STRONG_EXPRESSIONS)
    knots = [
        slot * (index + share)
        for index in range(len(STRONG_EXPRESSIONS))
        for share in (0.5 - HOLD_SHARE / 2, 0.5 + HOLD_SHARE / 2)
    ]
    for name in sorted({name for face in STRONG_EXPRESSIONS for name in face}):
        values = [
            strength * face.get(name, 0.0)
            for strength, face in zip(strengths, STRONG_EXPRESSIONS, strict=True)
        ]
        motion.add(name, _curve(knots, np.repeat(values, 2), motion.seconds))
    _glance(motion, rng)
    return motion


def _turn_head(
    motion: ScriptedMotion, rng: np.random.Generator, *, yaw: float, pitch: float
) -> None:
    """Add slow rotations of the neck, up to about `yaw` and `pitch` radians, and of the body."""
    phase = rng.uniform(0.0, 2.0 * np.pi, 6)
    turn = 2.0 * np.pi * motion.seconds / SECONDS
    motion.turn(
        "neck", 1, yaw * np.sin(2.0 * turn + phase[0]) + 0.03 * np.sin(5.0 * turn + phase[1])
    )
    motion.turn(
        "neck", 0, pitch * np.sin(3.0 * turn + phase[2]) + 0.02 * np.sin(7.0 * turn + phase[3])
    )
    motion.turn("neck", 2, 0.10 * np.sin(turn + phase[4]))
    for axis, size in enumerate((0.03, 0.05, 0.02)):
        motion.turn("global", axis, size * np.sin((1.0 + axis) * turn + phase[5]))


def _talk(motion: ScriptedMotion, rng: np.random.Generator, strength: float) -> None:
    """Add random visemes."""
    knots = np.arange(-1.0, motion.seconds[-1] + 2.0, 1.0 / SOUNDS_PER_SECOND)
    sounds = rng.integers(0, len(VISEMES), len(knots))
    loudness = strength * rng.uniform(0.6, 1.0, len(knots))
    for name in sorted({name for viseme in VISEMES for name in viseme}):
        values = [
            loud * VISEMES[sound].get(name, 0.0)
            for loud, sound in zip(loudness, sounds, strict=True)
        ]
        motion.add(name, _curve(knots, values, motion.seconds))


def _vary_expressions(
    motion: ScriptedMotion, rng: np.random.Generator, largest: FaceWeights
) -> None:
    """Add expressions that come and go independently, each absent half of the time."""
    for name, size in largest.items():
        knots = np.arange(-1.0, motion.seconds[-1] + 2.0, 0.55)
        values = size * np.maximum(rng.uniform(-1.0, 1.0, len(knots)), 0.0)
        motion.add(name, _curve(knots, values, motion.seconds))


def _blink(motion: ScriptedMotion, rng: np.random.Generator) -> None:
    """Add blinks at nearly regular intervals."""
    end = motion.seconds[-1]
    for start in np.arange(rng.uniform(0.2, 0.9), end + BLINK_PERIOD, BLINK_PERIOD):
        moment = start + rng.uniform(-0.3, 0.3)
        times, values = zip(*BLINK, strict=True)
        motion.add("eyeBlink", _curve(moment + np.array(times), values, motion.seconds))


def _glance(motion: ScriptedMotion, rng: np.random.Generator) -> None:
    """Rotate both eyes by random glances and against the rotation of the head."""
    knots = np.arange(-1.0, motion.seconds[-1] + 2.0, 0.5)
    neck = 3 * BONES.index("neck")
    for axis, size in ((0, 0.08), (1, 0.16)):
        glance = _curve(knots, rng.uniform(-size, size, len(knots)), motion.seconds)
        gaze = np.clip(glance - 0.35 * motion.pose[:, neck + axis], -0.28, 0.28)
        for bone in ("eyeL", "eyeR"):
            motion.turn(bone, axis, gaze)


def _curve(
    knots: Sequence[float] | Float64[Array, " K"],
    values: Sequence[float] | Float64[Array, " K"],
    seconds: Float64[Array, " T"],
) -> Float64[Array, " T"]:
    """Monotone cubic interpolation (PCHIP) between knots, constant beyond the first and the last.

    It does not overshoot the values.
    """
    inside = np.clip(seconds, knots[0], knots[-1])
    interpolate = require("scipy.interpolate", extra="train")
    return np.asarray(interpolate.PchipInterpolator(knots, values)(inside))


# Sets: the videos that are made of every synthetic subject

DECIMALS = 5
"""Decimals of the codes, fewer than the track file has, so that frames match the file."""


@dataclass(frozen=True)
class MotionSet:
    """A kind of video: its motion and its usual length."""

    name: str
    description: str
    frames: int
    script: Script
    stream: int
    """Stream of the random generator; `train` and `train+` share one and begin alike."""

    def motion(
        self, frames: int, seed: int, names: tuple[str, ...]
    ) -> tuple[Float32[Array, "T E"], Float32[Array, "T 15"], float]:
        """Return expression, pose and frames per second.

        Args:
            names: the head model's expressions, in the order of the columns.
        """
        motion = self.script(frames, np.random.default_rng([seed, self.stream]), names)
        expression = np.clip(np.column_stack([motion.expression[name] for name in names]), 0.0, 1.0)
        step = motion.seconds[1] - motion.seconds[0] if frames > 1 else SECONDS
        return _round(expression), _round(motion.pose), round(1.0 / float(step), 3)


def _round(codes: Float64[Array, "T N"]) -> Float32[Array, "T N"]:
    return np.round(codes, DECIMALS).astype(np.float32)


SETS: dict[str, MotionSet] = {
    row.name: row
    for row in (
        MotionSet("train", "head rotation and mild speech", 150, train, 0),
        MotionSet("train+", "train and 30 % more frames with more expression", 195, train_plus, 0),
        MotionSet("test", "strong expressions that no training take shows", 40, test, 1),
    )
}
"""Every set by name."""
