"""VRM's expressions: every target under its own name, and VRM's presets as mixtures of ARKit's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .figure import MESH_NODE


def _both(name: str, weight: float) -> dict[str, float]:
    """The same on the left and on the right."""
    return {f"{name}Left": weight, f"{name}Right": weight}


PRESETS: dict[str, dict[str, float]] = {
    "happy": {**_both("mouthSmile", 0.8), **_both("cheekSquint", 0.4)},
    "angry": {**_both("browDown", 0.9), **_both("noseSneer", 0.4), **_both("mouthPress", 0.4)},
    "sad": {"browInnerUp": 0.8, **_both("mouthFrown", 0.8)},
    "relaxed": {**_both("mouthSmile", 0.3), **_both("eyeSquint", 0.3)},
    "surprised": {"browInnerUp": 0.8, **_both("browOuterUp", 0.8), **_both("eyeWide", 0.8), "jawOpen": 0.3},
    "aa": {"jawOpen": 0.6, **_both("mouthLowerDown", 0.25), **_both("mouthUpperUp", 0.3)},
    "ih": {"jawOpen": 0.25, **_both("mouthLowerDown", 0.3), **_both("mouthStretch", 0.3)},
    "ou": {"jawOpen": 0.2, "mouthPucker": 0.65, "mouthFunnel": 0.25},
    "ee": {"jawOpen": 0.3, **_both("mouthLowerDown", 0.3), **_both("mouthUpperUp", 0.3), **_both("mouthStretch", 0.2)},
    "oh": {"jawOpen": 0.45, "mouthFunnel": 0.5, "mouthPucker": 0.15},
    "blink": _both("eyeBlink", 1.0),
    "blinkLeft": {"eyeBlinkLeft": 1.0},
    "blinkRight": {"eyeBlinkRight": 1.0},
    "lookUp": _both("eyeLookUp", 1.0),
    "lookDown": _both("eyeLookDown", 1.0),
    "lookLeft": {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0},
    "lookRight": {"eyeLookInLeft": 1.0, "eyeLookOutRight": 1.0},
    "neutral": {},
}
"""VRM's expression -> weights of targets. One whose every target is in the file is written."""

SILENT = "tongueOut"
"""The 52nd of ARKit's names, which no expression code of ours holds: it is there, so that a program that looks for all
52 finds them, and moves nothing."""


def expressions(targets: Sequence[str]) -> dict[str, Any]:
    """`VRMC_vrm.expressions` of a mesh with these targets."""
    named = {name: {name: 1.0} for name in targets} | {SILENT: {}}
    presets = {name: mix for name, mix in PRESETS.items() if set(mix) <= set(targets)}
    return {
        "preset": {name: _expression(mix, targets) for name, mix in presets.items()},
        "custom": {name: _expression(mix, targets) for name, mix in named.items()},
    }


def _expression(mix: dict[str, float], targets: Sequence[str]) -> dict[str, Any]:
    binds = [{"node": MESH_NODE, "index": targets.index(name), "weight": weight} for name, weight in mix.items()]
    overrides = dict.fromkeys(("overrideBlink", "overrideLookAt", "overrideMouth"), "none")
    return {"isBinary": False, **({"morphTargetBinds": binds} if binds else {}), **overrides}
