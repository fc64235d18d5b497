"""Scores of the synthetic takes: how the face stands for each sound, how far it wanders, and the strong expressions."""

from __future__ import annotations

from collections.abc import Mapping

Score = Mapping[str, float]
"""What a face does at a moment: `jaw` in radians, expression weights; a name without a side means both sides."""

VISEMES: tuple[Score, ...] = (
    {},
    {"jaw": 0.19, "mouthLowerDown": 0.22, "mouthUpperUp": 0.25},
    {"jaw": 0.13, "mouthLowerDown": 0.28, "mouthUpperUp": 0.25, "mouthStretch": 0.18},
    {"jaw": 0.06, "mouthLowerDown": 0.32, "mouthUpperUp": 0.22, "mouthStretch": 0.30, "mouthSmile": 0.10},
    {"jaw": 0.15, "mouthFunnel": 0.42, "mouthPucker": 0.12},
    {"jaw": 0.06, "mouthPucker": 0.50, "mouthFunnel": 0.20},
    {"jaw": 0.03, "mouthClose": 0.07, "mouthPress": 0.30, "mouthRollLower": 0.20, "mouthRollUpper": 0.12},
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
