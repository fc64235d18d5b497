"""Rig of a VRM: the invisible body bones that VRM requires, the humanoid map, the expressions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.retarget.arkit import ARKIT_NAMES

from .document import MESH_NODE, Bone, GltfDocument, head_bones

# Bones

HEAD_HEIGHT = 1.55
"""Height of the head model's origin, between the eyes, metres: a person of about 1.7 m."""

_HALVES: dict[str, tuple[str, tuple[float, float, float]]] = {
    "UpperLeg": ("hips", (0.09, 0.90, 0.0)),
    "LowerLeg": ("UpperLeg", (0.09, 0.50, 0.0)),
    "Foot": ("LowerLeg", (0.09, 0.08, 0.0)),
    "UpperArm": ("spine", (0.17, 1.33, -0.05)),
    "LowerArm": ("UpperArm", (0.44, 1.33, -0.05)),
    "Hand": ("LowerArm", (0.69, 1.33, -0.05)),
}
"""Bone of both sides -> its parent, and the position of the left one in a T-pose, metres."""

HUMANOID = {
    "hips": "hips",
    "spine": "spine",
    **{f"{side}{bone}": f"{side}{bone}" for side in ("left", "right") for bone in _HALVES},
    "neck": "global",
    "head": "neck",
    "leftEye": "eyeL",
    "rightEye": "eyeR",
}
"""VRM's bone -> the avatar's.

FLAME rotates the head at the upper end of the neck (`neck`), and the neck at its base (`global`).
The jaw is left out: programs keep a jaw bone half open, and here an expression opens the jaw.
"""


def body_bones(*, chest: bool = False) -> list[Bone]:
    """The body bones, which have no skin.

    Args:
        chest: add the bone `chest` between spine and arms.
    """
    bones = [Bone("hips", None, (0.0, 0.95, 0.0)), Bone("spine", "hips", (0.0, 1.10, 0.0))]
    if chest:
        bones.append(Bone("chest", "spine", (0.0, 1.25, 0.0)))
    torso = bones[-1].name
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for name, (parent, (x, y, z)) in _HALVES.items():
            bones.append(
                Bone(
                    f"{side}{name}",
                    f"{side}{parent}" if parent in _HALVES else parent.replace("spine", torso),
                    (sign * x, y, z),
                )
            )
    return bones


def standing_head(avatar: Avatar, *, parent: str = "spine") -> list[Bone]:
    """The head's bones on the body."""
    return head_bones(avatar, parent=parent, height=HEAD_HEIGHT)


def turned(bones: list[Bone]) -> list[Bone]:
    """Bones of a body that faces along -Z."""
    return [
        replace(bone, position=(-bone.position[0], bone.position[1], -bone.position[2]))
        for bone in bones
    ]


def between_the_eyes(document: GltfDocument) -> list[float]:
    """Position between the eyes, from the head's bone, metres."""
    positions = {bone.name: np.array(bone.position) for bone in document.skin}
    middle = (positions["eyeL"] + positions["eyeR"]) / 2 - positions["neck"]
    return [float(axis) for axis in middle]


# Expressions: every target by its name, and VRM's presets as mixtures of ARKit's targets


def _both(name: str, weight: float) -> dict[str, float]:
    """The same weight on the left and on the right."""
    return {f"{name}Left": weight, f"{name}Right": weight}


PRESETS: dict[str, dict[str, float]] = {
    "happy": {**_both("mouthSmile", 0.8), **_both("cheekSquint", 0.4)},
    "angry": {**_both("browDown", 0.9), **_both("noseSneer", 0.4), **_both("mouthPress", 0.4)},
    "sad": {"browInnerUp": 0.8, **_both("mouthFrown", 0.8)},
    "relaxed": {**_both("mouthSmile", 0.3), **_both("eyeSquint", 0.3)},
    "surprised": {
        "browInnerUp": 0.8,
        **_both("browOuterUp", 0.8),
        **_both("eyeWide", 0.8),
        "jawOpen": 0.3,
    },
    "aa": {"jawOpen": 0.6, **_both("mouthLowerDown", 0.25), **_both("mouthUpperUp", 0.3)},
    "ih": {"jawOpen": 0.25, **_both("mouthLowerDown", 0.3), **_both("mouthStretch", 0.3)},
    "ou": {"jawOpen": 0.2, "mouthPucker": 0.65, "mouthFunnel": 0.25},
    "ee": {
        "jawOpen": 0.3,
        **_both("mouthLowerDown", 0.3),
        **_both("mouthUpperUp", 0.3),
        **_both("mouthStretch", 0.2),
    },
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
"""VRM's preset -> weights of targets. A preset is written if the file has all of its targets."""

EMPTY_EXPRESSION = "tongueOut"
"""The 52nd of ARKit's names, which has no target on most heads.

The expression exists, for programs that require all 52, and moves nothing.
"""


def perfect_sync_name(target: str) -> str:
    """Name of the custom expression of a target: `BrowInnerUp` of `browInnerUp`.

    Programs of Perfect Sync such as VMagicMirror compare the names letter by letter, in the
    spelling of its first models; morph targets keep ARKit's.
    """
    return target[:1].upper() + target[1:] if target in ARKIT_NAMES else target


def preset_mixes(targets: Collection[str]) -> dict[str, dict[str, float]]:
    """The presets whose targets are all in `targets`."""
    return {name: mix for name, mix in PRESETS.items() if set(mix) <= set(targets)}


def custom_mixes(targets: Collection[str]) -> dict[str, dict[str, float]]:
    """Name of every custom expression -> weights of targets."""
    named: dict[str, dict[str, float]] = {EMPTY_EXPRESSION: {}}
    named |= {name: {name: 1.0} for name in targets}
    return {perfect_sync_name(name): mix for name, mix in named.items()}


def expressions(targets: Sequence[str]) -> dict[str, Any]:
    """The object `VRMC_vrm.expressions` of a mesh with these targets."""
    tables = {"preset": preset_mixes(targets), "custom": custom_mixes(targets)}
    return {
        kind: {name: _expression(mix, targets) for name, mix in mixes.items()}
        for kind, mixes in tables.items()
    }


def _expression(mix: dict[str, float], targets: Sequence[str]) -> dict[str, Any]:
    binds = [
        {"node": MESH_NODE, "index": targets.index(name), "weight": weight}
        for name, weight in mix.items()
    ]
    overrides = dict.fromkeys(("overrideBlink", "overrideLookAt", "overrideMouth"), "none")
    return {"isBinary": False, **({"morphTargetBinds": binds} if binds else {}), **overrides}
