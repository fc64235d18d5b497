"""Motions of the synthetic takes: mild talk while the head turns, livelier talk, and strong expressions held."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import BONES, POSE_SIZE
from imavatar_deploy.optional import require

# Scores of the synthetic takes: how the face stands for each sound, how far it wanders, and the strong expressions.
Score = Mapping[str, float]
"""What a face does at a moment: `jaw` in radians, expression weights; a name without a side means both sides."""

VISEMES: tuple[Score, ...] = (
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

MILD = {"mouthSmile": 0.35, "browInnerUp": 0.35, "browOuterUp": 0.30, "browDown": 0.25, "eyeSquint": 0.2,
        "eyeWide": 0.25, "cheekSquint": 0.2, "mouthFrown": 0.2, "noseSneer": 0.12}  # fmt: skip
"""How far each expression wanders in the training take."""

LIVELY = {"mouthSmile": 0.75, "browInnerUp": 0.7, "browOuterUp": 0.6, "browDown": 0.55, "eyeSquint": 0.4,
          "eyeWide": 0.5, "cheekSquint": 0.5, "mouthFrown": 0.5, "noseSneer": 0.35, "mouthPucker": 0.4,
          "cheekPuff": 0.4, "mouthLeft": 0.3, "mouthRight": 0.3, "jawLeft": 0.3, "jawRight": 0.3}  # fmt: skip

STRONG: tuple[Score, ...] = (
    {"jaw": 0.06, "mouthSmile": 1.0, "cheekSquint": 0.7, "mouthUpperUp": 0.45, "mouthLowerDown": 0.35,
     "mouthDimple": 0.4, "eyeSquint": 0.3},
    {"jaw": 0.40, "mouthLowerDown": 0.35, "mouthUpperUp": 0.35, "mouthStretch": 0.15},
    {"mouthPucker": 1.0, "mouthFunnel": 0.15, "mouthShrugLower": 0.35, "jaw": 0.02},
    {"browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 0.8},
    {"browDown": 1.0, "noseSneer": 0.8, "mouthFrown": 0.7, "eyeSquint": 0.5, "mouthPress": 0.3},
    {"jaw": 0.30, "browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 0.9, "mouthFunnel": 0.55},
    {"cheekPuff": 1.0, "mouthPress": 0.3, "browInnerUp": 0.3},
    {"jaw": 0.26, "mouthSmile": 0.9, "mouthUpperUp": 0.5, "cheekSquint": 0.8, "eyeSquint": 0.4, "browOuterUp": 0.5},
    {"mouthSmileLeft": 0.9, "mouthLeft": 0.5, "browOuterUpLeft": 0.8, "eyeSquintRight": 0.5, "cheekSquintLeft": 0.5},
    {"jaw": 0.10, "mouthStretch": 0.9, "mouthLowerDown": 0.8, "mouthFrown": 0.3, "browInnerUp": 0.7},
)  # fmt: skip
"""Big smile, wide jaw, pout, raised brows, anger, surprise, puffed cheeks, laughter, a smirk, a grimace."""

Curve = NDArray[np.float64]

SECONDS = 6.0
"""Length of the training take; asked for fewer frames, they lie further apart."""

SOUNDS_A_SECOND = 7.0

BLINK_EVERY = 1.7  # seconds

BLINK = ((-0.12, 0.0), (0.0, 1.0), (0.04, 1.0), (0.20, 0.0))

HELD = 0.5
"""Share of its time for which a strong expression is held; the rest blends into the next."""


@dataclass
class ScriptedMotion:
    """A motion while it is being written."""

    seconds: Curve  # [T]
    expression: dict[str, Curve]  # [T] of every expression
    pose: Curve  # [T, 15]

    @classmethod
    def blank(cls, seconds: Curve, names: Sequence[str]) -> ScriptedMotion:
        """Nothing happens, at the given moments `[T]`."""
        return cls(
            seconds,
            {name: np.zeros(len(seconds)) for name in names},
            np.zeros((len(seconds), POSE_SIZE)),
        )

    def add(self, name: str, values: Curve) -> None:
        """Let `values` `[T]` act on one expression, on both of its sides, or on the jaw."""
        if name == "jaw":
            self.pose[:, 6] += values
            return
        for side in ("",) if name in self.expression else ("Left", "Right"):
            self.expression[name + side] += values

    def turn(self, bone: str, axis: int, values: Curve) -> None:
        """Rotate a bone about +x (nod down), +y (to the head's left) or +z (tilt to its right)."""
        self.pose[:, 3 * BONES.index(bone) + axis] += values


def _moments(seconds: float, frames: int) -> Curve:
    return np.asarray(np.linspace(0.0, seconds, frames, endpoint=False), dtype=np.float64)


def train(frames: int, rng: np.random.Generator, names: Sequence[str]) -> ScriptedMotion:
    """The head turns widely, the mouth talks mildly."""
    take = ScriptedMotion.blank(_moments(SECONDS, frames), names)
    _turn_head(take, rng, yaw=0.57, pitch=0.17)
    _talk(take, rng, 1.0)
    _wander(take, rng, MILD)
    _live(take, rng)
    return take


def train_plus(frames: int, rng: np.random.Generator, names: Sequence[str]) -> ScriptedMotion:
    """The training take, and 30 % more frames of livelier expressions."""
    first = round(frames / 1.3)
    take = train(first, rng, names)
    if first == frames:
        return take
    seconds = _moments(0.3 * SECONDS, frames - first)
    more = ScriptedMotion.blank(seconds, names)
    _turn_head(more, rng, yaw=0.40, pitch=0.12)
    _talk(more, rng, 1.5)
    _wander(more, rng, LIVELY)
    _live(more, rng)
    both = {name: np.concatenate([take.expression[name], more.expression[name]]) for name in names}
    moments = np.concatenate([take.seconds, SECONDS + seconds])
    return ScriptedMotion(moments, both, np.concatenate([take.pose, more.pose]))


def test(frames: int, rng: np.random.Generator, names: Sequence[str]) -> ScriptedMotion:
    """Strong expressions one after the other, each held for a moment, while the head turns a little."""
    take = ScriptedMotion.blank(_moments(SECONDS, frames), names)
    _turn_head(take, rng, yaw=0.35, pitch=0.10)
    strengths = rng.uniform(0.9, 1.0, len(STRONG))
    slot = SECONDS / len(STRONG)
    knots = [
        slot * (index + share)
        for index in range(len(STRONG))
        for share in (0.5 - HELD / 2, 0.5 + HELD / 2)
    ]
    for name in sorted({name for score in STRONG for name in score}):
        values = [
            strength * score.get(name, 0.0)
            for strength, score in zip(strengths, STRONG, strict=True)
        ]
        take.add(name, _curve(knots, np.repeat(values, 2), take.seconds))
    _look(take, rng)
    return take


def _turn_head(take: ScriptedMotion, rng: np.random.Generator, *, yaw: float, pitch: float) -> None:
    """Slow turns of the neck, of which the largest reach `yaw` and `pitch` radians, and a little of the whole body."""
    phase = rng.uniform(0.0, 2.0 * np.pi, 6)
    turn = 2.0 * np.pi * take.seconds / SECONDS
    take.turn("neck", 1, yaw * np.sin(2.0 * turn + phase[0]) + 0.03 * np.sin(5.0 * turn + phase[1]))
    take.turn(
        "neck", 0, pitch * np.sin(3.0 * turn + phase[2]) + 0.02 * np.sin(7.0 * turn + phase[3])
    )
    take.turn("neck", 2, 0.10 * np.sin(turn + phase[4]))
    for axis, size in enumerate((0.03, 0.05, 0.02)):
        take.turn("global", axis, size * np.sin((1.0 + axis) * turn + phase[5]))


def _talk(take: ScriptedMotion, rng: np.random.Generator, strength: float) -> None:
    knots = np.arange(-1.0, take.seconds[-1] + 2.0, 1.0 / SOUNDS_A_SECOND)
    sounds = rng.integers(0, len(VISEMES), len(knots))
    loudness = strength * rng.uniform(0.6, 1.0, len(knots))
    for name in sorted({name for viseme in VISEMES for name in viseme}):
        values = [
            loud * VISEMES[sound].get(name, 0.0)
            for loud, sound in zip(loudness, sounds, strict=True)
        ]
        take.add(name, _curve(knots, values, take.seconds))


def _wander(take: ScriptedMotion, rng: np.random.Generator, most: Score) -> None:
    """Each expression comes and goes by itself, absent half of the time."""
    for name, size in most.items():
        knots = np.arange(-1.0, take.seconds[-1] + 2.0, 0.55)
        take.add(
            name,
            _curve(knots, size * np.maximum(rng.uniform(-1.0, 1.0, len(knots)), 0.0), take.seconds),
        )


def _live(take: ScriptedMotion, rng: np.random.Generator) -> None:
    """Blinks and glances."""
    end = take.seconds[-1]
    for start in np.arange(rng.uniform(0.2, 0.9), end + BLINK_EVERY, BLINK_EVERY):
        moment = start + rng.uniform(-0.3, 0.3)
        times, values = zip(*BLINK, strict=True)
        take.add("eyeBlink", _curve(moment + np.array(times), values, take.seconds))
    _look(take, rng)


def _look(take: ScriptedMotion, rng: np.random.Generator) -> None:
    """Both eyes glance about, and mostly stay on the camera while the head turns."""
    knots = np.arange(-1.0, take.seconds[-1] + 2.0, 0.5)
    neck = 3 * BONES.index("neck")
    for axis, size in ((0, 0.08), (1, 0.16)):
        glance = _curve(knots, rng.uniform(-size, size, len(knots)), take.seconds)
        gaze = np.clip(glance - 0.35 * take.pose[:, neck + axis], -0.28, 0.28)
        for bone in ("eyeL", "eyeR"):
            take.turn(bone, axis, gaze)


def _curve(
    knots: Sequence[float] | Curve, values: Sequence[float] | Curve, seconds: Curve
) -> Curve:
    """A smooth curve through knots that does not overshoot; beyond its ends it stays."""
    inside = np.clip(seconds, knots[0], knots[-1])
    interpolate = require("scipy.interpolate", extra="train")
    return np.asarray(interpolate.PchipInterpolator(knots, values)(inside))


Take = Callable[[int, np.random.Generator, Sequence[str]], ScriptedMotion]


# The table of takes that are made of every synthetic subject: train, train+ and test.


Float = NDArray[np.float32]

DECIMALS = 5
"""Digits of the codes, fewer than the track file keeps: what is drawn is what is written."""


@dataclass(frozen=True)
class TakeSet:
    """One kind of take: its motion and its usual length."""

    name: str
    description: str
    frames: int
    perform: Take
    stream: int
    """Of the seed: training takes share one, so that train+ begins with train."""

    def motion(self, frames: int, seed: int, names: tuple[str, ...]) -> tuple[Float, Float, float]:
        """Expression `[T, 50]`, pose `[T, 15]` and frames per second."""
        take = self.perform(frames, np.random.default_rng([seed, self.stream]), names)
        expression = np.clip(np.column_stack([take.expression[name] for name in names]), 0.0, 1.0)
        apart = take.seconds[1] - take.seconds[0] if frames > 1 else SECONDS
        return _rounded(expression), _rounded(take.pose), round(1.0 / float(apart), 3)


def _rounded(codes: Curve) -> Float:
    return np.round(codes, DECIMALS).astype(np.float32)


SETS: dict[str, TakeSet] = {
    row.name: row
    for row in (
        TakeSet("train", "head rotation and mild speech", 150, train, 0),
        TakeSet("train+", "train and 30 % more frames with more expression", 195, train_plus, 0),
        TakeSet("test", "strong expressions that no training take shows", 40, test, 1),
    )
}
"""Every known take by name."""
