"""Build `imavatar_deploy/assets/talk.json`: a motion of ten seconds for OpenHead that loops.

    python tools/build_talk_track.py [OUT.json]

"Hello, I am a head." A look to one side, to the other, a "wow", "open wide", "and smile". The
motion is written below as keys, lists of (second, value) with smooth interpolation. It contains no
motion capture of a person.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import BONES, POSE_SIZE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks import FlameTrack, write_track

Curve = NDArray[np.float64]
"""A value at each of `TIMES`."""

Keys = Sequence[tuple[float, float]]
"""(second, value)."""

OUT = Path(__file__).resolve().parents[1] / "imavatar_deploy" / "assets" / "talk.json"
EDITION = "openhead"
FPS = 25.0
SECONDS = 10.0
TIMES = np.arange(round(SECONDS * FPS)) / FPS
DECIMALS = 4
WORLD_MAT = np.column_stack([np.eye(3), [0.0, 0.0, -4.0]])
INTRINSICS = (-2.7, 2.7, 0.5, 0.48)
"""A square view from below the collar (y = -0.77 at the origin's depth) to 0.1 m above the hair
(y = 0.71)."""

VISEMES: dict[str, dict[str, float]] = {
    "-": {},
    "aa": {"jaw": 0.24, "mouthLowerDown": 0.25, "mouthUpperUp": 0.30, "mouthStretch": 0.08},
    "eh": {"jaw": 0.15, "mouthLowerDown": 0.30, "mouthUpperUp": 0.28, "mouthStretch": 0.20},
    "ee": {
        "jaw": 0.07,
        "mouthLowerDown": 0.35,
        "mouthUpperUp": 0.25,
        "mouthStretch": 0.35,
        "mouthSmile": 0.10,
    },
    "oh": {"jaw": 0.18, "mouthFunnel": 0.50, "mouthPucker": 0.15},
    "oo": {"jaw": 0.07, "mouthPucker": 0.65, "mouthFunnel": 0.25},
    "m": {
        "jaw": 0.03,
        "mouthClose": 0.07,
        "mouthPress": 0.30,
        "mouthRollLower": 0.20,
        "mouthRollUpper": 0.12,
    },
    "s": {"jaw": 0.04, "mouthLowerDown": 0.30, "mouthUpperUp": 0.18, "mouthStretch": 0.18},
    "l": {"jaw": 0.10, "mouthLowerDown": 0.20, "mouthUpperUp": 0.18},
    "r": {"jaw": 0.07, "mouthFunnel": 0.25, "mouthPucker": 0.20},
    "w": {"jaw": 0.05, "mouthPucker": 0.60},
    "k": {"jaw": 0.10, "mouthLowerDown": 0.18, "mouthUpperUp": 0.10},
    "WIDE": {
        "jaw": 0.35,
        "mouthLowerDown": 0.45,
        "mouthUpperUp": 0.55,
        "mouthStretch": 0.20,
        "noseSneer": 0.10,
    },
}
"""Weights of the mouth's shapes for each sound; `jaw` is the jaw's opening in radians.

Names without a side stand for both sides. `mouthClose` closes the lips over an open jaw."""

SPEECH: tuple[tuple[float, str], ...] = (
    (0.55, "k eh l oh oh -"),  # hello
    (1.45, "aa ee eh m - eh - k eh s -"),  # I am a head
    (3.30, "l oo k - k ee r -"),  # look here
    (4.55, "eh s - s eh r -"),  # and there
    (5.65, "w aa WIDE oh w -"),  # wow
    (6.50, "oh m eh s - w aa WIDE WIDE ee s -"),  # open wide
    (8.20, "eh s - s m aa ee ee s -"),  # and smile
)
VOWEL = 0.16
"""Seconds; about five syllables a second."""

CONSONANT = 0.11
"""Seconds."""

BLINKS = (1.36, 2.68, 3.92, 5.36, 7.88, 9.64)
BLINK: Keys = ((0.0, 0.0), (0.12, 1.0), (0.16, 1.0), (0.32, 0.0))

FACE: dict[str, Keys] = {
    "browInnerUp": (
        (0.4, 0),
        (0.7, 0.5),
        (1.3, 0),
        (5.5, 0),
        (5.8, 0.9),
        (6.3, 0.8),
        (6.6, 0.1),
        (7.6, 0.3),
        (8.2, 0),
    ),
    "browOuterUp": (
        (0.4, 0),
        (0.7, 0.5),
        (1.3, 0),
        (5.5, 0),
        (5.8, 0.9),
        (6.3, 0.7),
        (6.6, 0),
        (7.6, 0.3),
        (8.2, 0),
    ),
    "browDown": ((2.2, 0), (2.8, 0.25), (3.2, 0), (4.4, 0), (4.7, 0.3), (5.3, 0)),
    "eyeWide": ((5.5, 0), (5.8, 0.6), (6.3, 0.5), (6.6, 0)),
    "mouthSmile": (
        (0.0, 0.10),
        (0.9, 0.25),
        (2.4, 0.05),
        (5.6, 0.0),
        (8.3, 0.1),
        (8.85, 0.85),
        (9.4, 0.8),
        (9.9, 0.12),
    ),
    "mouthUpperUp": ((9.15, 0), (9.35, 0.25), (9.55, 0.3), (9.8, 0)),
    "mouthLowerDown": ((9.15, 0), (9.35, 0.25), (9.55, 0.3), (9.8, 0)),
    "mouthDimple": ((8.6, 0), (9.1, 0.35), (9.5, 0.3), (9.9, 0)),
    "cheekSquint": ((8.5, 0), (9.05, 0.6), (9.6, 0.6), (9.95, 0)),
    "eyeSquint": ((8.5, 0), (9.1, 0.3), (9.5, 0.25), (9.95, 0)),
}
LEFT_ONLY = {
    "browOuterUpLeft": ((2.2, 0.0), (2.6, 0.35), (3.0, 0.0)),
    "mouthLeft": ((2.3, 0.0), (2.7, 0.2), (3.1, 0.0)),
}
WEAKER_RIGHT = 0.93
"""Weight of the right side relative to the left: faces are not symmetric. Blinks are symmetric."""

HEAD: dict[str, tuple[Keys, Keys, Keys]] = {
    "neck": (
        ((0.5, 0), (0.75, 0.09), (1.1, -0.03), (1.9, 0.07), (2.3, 0), (5.5, 0.02), (5.9, -0.12),
         (6.5, 0.05), (7.35, -0.10), (7.9, 0.03), (8.5, 0.08), (9.0, -0.04), (9.6, 0.0)),
        ((0.6, 0), (1.2, -0.08), (1.9, 0.06), (2.8, 0.05), (3.35, 0.5), (3.85, 0.48), (4.6, -0.5),
         (5.0, -0.46), (5.6, -0.02), (6.6, 0.08), (7.5, -0.03), (8.6, -0.06), (9.7, 0)),
        ((0.9, 0.03), (1.9, -0.05), (2.7, -0.10), (3.5, 0.04), (4.7, -0.04), (5.7, 0.02),
         (6.8, -0.05), (7.5, 0.03), (8.9, 0.12), (9.5, 0.08), (9.95, 0.0)),
    ),
    "global": (
        ((0.8, 0.0), (2.0, 0.02), (5.8, -0.03), (7.4, -0.02), (8.9, 0.02)),
        ((2.8, 0.0), (3.5, 0.06), (4.7, -0.06), (5.7, 0.0)),
        ((1.0, 0.0), (3.0, 0.015), (5.0, -0.015), (9.0, 0.02), (9.9, 0.0)),
    ),
}  # fmt: skip
"""Radians about +x (nod down), +y (to the head's left) and +z (tilt to its right)."""

GAZE: tuple[Keys, Keys] = (
    ((2.2, 0), (2.26, -0.12), (2.6, -0.12), (2.66, 0), (2.9, 0), (2.98, 0.35), (3.4, 0.12),
     (3.9, 0.1), (4.0, -0.4), (4.6, -0.15), (5.1, -0.1), (5.2, 0.3), (5.6, 0.02), (7.9, 0),
     (7.96, 0.08), (8.2, 0.08), (8.26, 0)),
    ((2.2, 0), (2.26, -0.14), (2.6, -0.14), (2.66, 0), (4.0, 0), (4.1, 0.10), (5.1, 0.08),
     (5.2, 0), (7.3, 0.08), (7.9, 0), (8.9, 0.06), (9.4, 0)),
)  # fmt: skip
"""Rotations of the eyes in the head, in radians to its left and downwards. They lead those of the
head."""

LOOK_PER_RADIAN = 1.1
"""Weight of the eyeLook shapes per radian of gaze."""

EYE_SHARE = 0.6
"""Fraction of the gaze by which the eye bones rotate: the eyeLook shapes rotate the eyeballs, too
(about 0.4 rad at weight 1), and move the lids."""


def build(expression_names: Sequence[str]) -> FlameTrack:
    """Return the motion for a head model whose expressions have ARKit's names.

    Args:
        expression_names: names in the model's order.
    """
    columns = {name: np.zeros_like(TIMES) for name in expression_names}
    pose = np.zeros((len(TIMES), POSE_SIZE))
    _act_face(columns)
    pose[:, 6] = _speak(columns) + 0.004 * (1.0 - np.cos(_cycle(4)))
    _move_head(pose)
    _look(columns, pose)
    expression = np.column_stack([columns[name] for name in expression_names])
    camera = Camera.from_dataset(WORLD_MAT, INTRINSICS)
    return FlameTrack(
        expression=np.round(expression, DECIMALS).astype(np.float32),
        pose=np.round(pose, DECIMALS).astype(np.float32),
        cameras=(camera,) * len(TIMES),
        fps=FPS,
        edition=EDITION,
    )


def _act_face(columns: dict[str, Curve]) -> None:
    for name, keys in FACE.items():
        _add(columns, name, _curve(keys))
    for name, keys in LEFT_ONLY.items():
        columns[name] += _curve(keys)
    for start in BLINKS:
        closing = _curve([(start + second, value) for second, value in BLINK])
        for side in ("Left", "Right"):
            columns[f"eyeBlink{side}"] += closing
    _add(columns, "browInnerUp", 0.02 * (1.0 + np.sin(_cycle(5))))


def _speak(columns: dict[str, Curve]) -> Curve:
    """Add the mouth's shapes to `columns`, and return the jaw's opening in radians."""
    sounds = _timed_sounds()
    jaw = np.zeros_like(TIMES)
    for name in sorted({name for viseme in VISEMES.values() for name in viseme}):
        curve = _curve([(second, VISEMES[sound].get(name, 0.0)) for second, sound in sounds])
        if name == "jaw":
            jaw += curve
        else:
            _add(columns, name, curve)
    return jaw


def _timed_sounds() -> list[tuple[float, str]]:
    """Return (second, sound) of every sound; each phrase starts from rest."""
    sounds = []
    for start, phrase in SPEECH:
        second = start
        sounds.append((second, "-"))
        for sound in phrase.split():
            second += VOWEL if sound in ("aa", "eh", "ee", "oh", "oo", "WIDE") else CONSONANT
            sounds.append((round(second, 3), sound))
    return sounds


def _move_head(pose: Curve) -> None:
    for bone, axes in HEAD.items():
        for axis, keys in enumerate(axes):
            pose[:, 3 * BONES.index(bone) + axis] += _curve(keys)
    neck = 3 * BONES.index("neck")
    # Breath and small motions
    pose[:, neck] += 0.010 * np.sin(_cycle(3)) + 0.004 * np.sin(_cycle(7))
    pose[:, neck + 1] += 0.012 * np.sin(_cycle(2) + 1.0) + 0.005 * np.sin(_cycle(5))
    pose[:, neck + 2] += 0.008 * np.sin(_cycle(3) + 2.0)


def _look(columns: dict[str, Curve], pose: Curve) -> None:
    """Rotate the eyes by bones and shapes."""
    left = _curve(GAZE[0]) + 0.012 * np.sin(_cycle(6))
    down = _curve(GAZE[1]) + 0.008 * np.sin(_cycle(4) + 0.5)
    for bone in ("eyeL", "eyeR"):
        first = 3 * BONES.index(bone)
        pose[:, first] = EYE_SHARE * down
        pose[:, first + 1] = EYE_SHARE * left
    for names, angle in (
        (("eyeLookOutLeft", "eyeLookInRight"), left),
        (("eyeLookInLeft", "eyeLookOutRight"), -left),
        (("eyeLookDownLeft", "eyeLookDownRight"), down),
        (("eyeLookUpLeft", "eyeLookUpRight"), -down),
    ):
        for name in names:
            columns[name] += LOOK_PER_RADIAN * _positive(angle)


def _add(columns: dict[str, Curve], name: str, curve: Curve) -> None:
    if name in columns:
        columns[name] += curve
    else:
        columns[f"{name}Left"] += curve
        columns[f"{name}Right"] += WEAKER_RIGHT * curve


def _curve(keys: Keys) -> Curve:
    """Interpolate keys periodically, without overshoot and with a continuous derivative."""
    seconds, values = np.asarray(keys, dtype=np.float64).T
    times = np.concatenate([seconds - SECONDS, seconds, seconds + SECONDS])
    return np.asarray(PchipInterpolator(times, np.tile(values, 3))(TIMES))


def _positive(angle: Curve, knee: float = 0.03) -> Curve:
    """Return max(angle, 0) with its corner rounded over `knee` radians."""
    above = np.maximum(angle, 0.0)
    return np.asarray(above**2 / (above + knee))


def _cycle(times: int) -> Curve:
    """Return the phase of a motion that repeats a whole number of times in the loop."""
    return 2.0 * np.pi * times * TIMES / SECONDS


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    write_track(build(HeadModel.load(EDITION).expression_names), out)
    print(f"wrote {out}, {out.stat().st_size / 1024:.0f} KB")
