"""The body that VRM asks of a head: invisible bones from hips to hands, standing in a T, and the humanoid map."""

from __future__ import annotations

from imavatar_deploy.avatar import Avatar

from .skeleton import Bone, head_bones

STANDS_AT = 1.55
"""Metres above the ground of the head model's origin, which lies between the eyes: a person of about 1.7 m."""

_HALVES: dict[str, tuple[str, tuple[float, float, float]]] = {
    "UpperLeg": ("hips", (0.09, 0.90, 0.0)),
    "LowerLeg": ("UpperLeg", (0.09, 0.50, 0.0)),
    "Foot": ("LowerLeg", (0.09, 0.08, 0.0)),
    "UpperArm": ("spine", (0.17, 1.33, -0.05)),
    "LowerArm": ("UpperArm", (0.44, 1.33, -0.05)),
    "Hand": ("LowerArm", (0.69, 1.33, -0.05)),
}
"""Bone -> who carries it and where its left one stands, metres."""

HUMANOID = {
    "hips": "hips",
    "spine": "spine",
    **{f"{side}{bone}": f"{side}{bone}" for side in ("left", "right") for bone in _HALVES},
    "neck": "global",
    "head": "neck",
    "leftEye": "eyeL",
    "rightEye": "eyeR",
}
"""VRM's bone -> ours. FLAME turns the head at the upper end of the neck, and the neck at its base by `global`.

The jaw is left out: programs that know it as a bone hold it half open, and here an expression opens it."""


def body_bones() -> list[Bone]:
    """The bones without skin."""
    bones = [Bone("hips", None, (0.0, 0.95, 0.0)), Bone("spine", "hips", (0.0, 1.10, 0.0))]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for name, (parent, (x, y, z)) in _HALVES.items():
            bones.append(Bone(f"{side}{name}", f"{side}{parent}" if parent in _HALVES else parent, (sign * x, y, z)))
    return bones


def standing_head(avatar: Avatar) -> list[Bone]:
    """The head's bones on that body."""
    return head_bones(avatar, carried_by="spine", raised=STANDS_AT)
