"""write_talkinghead: a GLB for TalkingHead and other programs of Ready Player Me's avatars.

They require a node `Armature` above mesh and bones, a whole skeleton by Mixamo's names without
their prefix, ARKit's 52 names and the 15 visemes of Oculus as morph targets. The package
`@met4citizen/talkinghead` refuses a file in which one of 52 bones is missing; those of the body
move nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.retarget.arkit import ARKIT_NAMES, EYE_TURNS

from ...skeleton import NEUTRAL_EXPRESSION, REST_POSE
from ...srgb import as_shown, linear
from .container import Container
from .document import MESH_NODE, Bone, GltfDocument, bone_node, build_container, head_bones
from .glb import GlbFacts
from .materials import Texture, file_mesh
from .morph_targets import (
    MorphTarget,
    expression_targets,
    jaw_opening,
    strongest,
    with_four_influences,
)
from .settings import GlbSettings
from .vrm_rig import HEAD_HEIGHT, PRESETS

# Morph targets


def _both(name: str, weight: float) -> dict[str, float]:
    """The same weight on the left and on the right."""
    return {f"{name}Left": weight, f"{name}Right": weight}


VISEMES: dict[str, dict[str, float]] = {
    "sil": {},
    "PP": {**_both("mouthPress", 0.5), "mouthRollLower": 0.35, "mouthRollUpper": 0.35},
    "FF": {"mouthRollLower": 0.7, **_both("mouthUpperUp", 0.35), "jawOpen": 0.05},
    "TH": {
        "jawOpen": 0.18,
        **_both("mouthLowerDown", 0.25),
        **_both("mouthUpperUp", 0.2),
        "tongueOut": 0.5,
    },
    "DD": {"jawOpen": 0.14, **_both("mouthLowerDown", 0.3), **_both("mouthUpperUp", 0.2)},
    "kk": {"jawOpen": 0.22, **_both("mouthLowerDown", 0.2), **_both("mouthStretch", 0.15)},
    "CH": {"jawOpen": 0.1, "mouthFunnel": 0.6, "mouthPucker": 0.2},
    "SS": {
        "jawOpen": 0.05,
        **_both("mouthStretch", 0.35),
        **_both("mouthLowerDown", 0.35),
        **_both("mouthUpperUp", 0.2),
    },
    "nn": {"jawOpen": 0.12, **_both("mouthLowerDown", 0.25), **_both("mouthUpperUp", 0.15)},
    "RR": {"jawOpen": 0.15, "mouthFunnel": 0.35, "mouthPucker": 0.3},
    "aa": PRESETS["aa"],
    "E": PRESETS["ee"],
    "I": PRESETS["ih"],
    "O": PRESETS["oh"],
    "U": PRESETS["ou"],
}
"""Viseme of Oculus -> weights of ARKit's shapes.

The vowels are the presets of a VRM. The consonants follow their place of articulation: closed lips
(PP), lower lip at the upper teeth (FF), tongue between the teeth (TH) or behind them (DD, nn),
spread lips and closed teeth (SS), rounded lips (CH, RR), and a half open jaw (kk).
"""

EXTRAS: dict[str, dict[str, float]] = {
    "mouthOpen": {"jawOpen": 0.5},
    "mouthSmile": _both("mouthSmile", 0.8),
    "eyesClosed": _both("eyeBlink", 1.0),
    "eyesLookUp": _both("eyeLookUp", 1.0),
    "eyesLookDown": _both("eyeLookDown", 1.0),
}
"""Further shapes of Ready Player Me -> weights of ARKit's."""

MIXES = {f"viseme_{name}": mix for name, mix in VISEMES.items()} | EXTRAS
"""Target -> weights of ARKit's shapes, for the targets that are mixtures."""


def arkit_targets(avatar: Avatar, shapes: Sequence[MorphTarget]) -> list[MorphTarget]:
    """The 52 shapes of ARKit in its order; those that the avatar lacks move nothing.

    Programs of this profile turn the eyes by the eyeLook shapes, which contain the rotation of the
    eyeballs here.

    Args:
        avatar: the baked avatar.
        shapes: ARKit's shapes of a map; the avatar's expressions when empty.
    """
    targets = list(shapes)
    if not targets:
        targets = _with_eyeballs(avatar, expression_targets(avatar, avatar.expression_names))
        targets.append(jaw_opening(avatar))
    offsets = {target.name: target.offset for target in targets}
    still = np.zeros_like(avatar.rest)
    return [MorphTarget(name, offsets.get(name, still)) for name in ARKIT_NAMES]


def _with_eyeballs(avatar: Avatar, targets: Sequence[MorphTarget]) -> list[MorphTarget]:
    """The targets, with the rotation of the eyeballs in the eyeLook shapes."""
    limited = with_four_influences(avatar)
    rest = pose_plainly(limited, NEUTRAL_EXPRESSION, REST_POSE).vertices

    def turned(target: MorphTarget) -> MorphTarget:
        turns = EYE_TURNS[ARKIT_NAMES.index(target.name)] if target.name in ARKIT_NAMES else None
        if turns is None or not turns.any():
            return target
        pose = REST_POSE.copy()
        pose[-len(turns) :] = turns
        vertices = pose_plainly(limited, NEUTRAL_EXPRESSION, pose).vertices
        return MorphTarget(target.name, target.offset + np.ascontiguousarray((vertices - rest).T))

    return [turned(target) for target in targets]


def mixed_targets(targets: Sequence[MorphTarget]) -> list[MorphTarget]:
    """The targets of `MIXES`.

    Args:
        targets: the 52 shapes of ARKit.
    """
    offsets = {target.name: target.offset for target in targets}
    still = np.zeros_like(targets[0].offset)
    mixed = []
    for name, mix in MIXES.items():
        offset = still.copy()
        for shape, weight in mix.items():
            offset += np.float32(weight) * offsets[shape]
        mixed.append(MorphTarget(name, offset))
    return mixed


def _mixed_colours(
    neutral: Float32[Array, "V 3"], colours_at: Mapping[str, Float32[Array, "V 3"]]
) -> dict[str, Float32[Array, "V 3"]]:
    """Colours of the mixtures, sRGB: changes of light add up as displacements do."""
    light = linear(neutral)
    mixed = {}
    for name, mix in MIXES.items():
        changes = [
            np.float32(weight) * (linear(colours_at[shape]) - light)
            for shape, weight in mix.items()
            if shape in colours_at
        ]
        if changes:
            total = np.clip(light + np.sum(changes, axis=0), 0, 1)
            mixed[name] = np.asarray(as_shown(total), dtype=np.float32)
    return mixed


# Skeleton

ROOT = "Armature"
"""Node above the mesh and the bones."""

FLOOR = "floor"
"""Node of a vertex on the floor (`_add_floor`)."""

BONE_NAMES = {
    "global": "Neck",
    "neck": "Head",
    "jaw": "Jaw",
    "eyeL": "LeftEye",
    "eyeR": "RightEye",
}
"""The avatar's bone -> Mixamo's: FLAME rotates the neck at its base by `global`."""

TORSO = {"Hips": 0.99, "Spine": 1.08, "Spine1": 1.19, "Spine2": 1.30}
"""Bone, each the parent of the next -> its height, metres."""


class LimbBone(NamedTuple):
    """A bone of the left side; its axis +Y points to its child, as in Mixamo's skeletons."""

    parent: str
    position: tuple[float, float, float]
    """In the frame of the parent, metres."""
    rotation: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)
    """Quaternion (x, y, z, w) in the frame of the parent, in a T-pose."""


FINGERS = {"Thumb": 0.03, "Index": 0.025, "Middle": 0.008, "Ring": -0.010, "Pinky": -0.027}
"""Finger -> its distance from the middle of the hand, metres."""


def _fingers() -> dict[str, LimbBone]:
    bones = {}
    for finger, sideways in FINGERS.items():
        parent = "Hand"
        for joint in (1, 2, 3):
            name = f"Hand{finger}{joint}"
            first = (sideways, 0.04 if finger == "Thumb" else 0.09, 0.0)
            bones[name] = LimbBone(parent, first if joint == 1 else (0.0, 0.03, 0.0))
            parent = name
    return bones


LIMBS = {
    "UpLeg": LimbBone("Hips", (0.09, -0.06, 0.0), (0.0, 0.0, 1.0, 0.0)),
    "Leg": LimbBone("UpLeg", (0.0, 0.42, 0.0)),
    "Foot": LimbBone("Leg", (0.0, 0.42, 0.0), (0.5, 0.0, 0.0, 0.75**0.5)),
    "ToeBase": LimbBone("Foot", (0.0, 0.15, 0.0), (0.2588190, 0.0, 0.0, 0.9659258)),
    "Shoulder": LimbBone("Spine2", (0.05, 0.12, 0.0), (0.5, 0.5, -0.5, 0.5)),
    "Arm": LimbBone("Shoulder", (0.0, 0.12, 0.0)),
    "ForeArm": LimbBone("Arm", (0.0, 0.27, 0.0)),
    "Hand": LimbBone("ForeArm", (0.0, 0.25, 0.0)),
    **_fingers(),
}
"""Bones of the left side; those of the right are their mirror image."""


def _sided(bone: LimbBone, side: str) -> LimbBone:
    """A bone of one side: its parent's whole name, position and rotation."""
    parent = f"{side}{bone.parent}" if bone.parent in LIMBS else bone.parent
    if side == "Left":
        return bone._replace(parent=parent)
    (x, y, z), (a, b, c, w) = bone.position, bone.rotation
    return LimbBone(parent, (-x, y, z), (a, -b, -c, w))


def _limbs() -> dict[str, LimbBone]:
    return {
        f"{side}{name}": _sided(bone, side)
        for side in ("Left", "Right")
        for name, bone in LIMBS.items()
    }


def body_bones() -> list[Bone]:
    """Root, torso and limbs; the nodes of the limbs are completed by `_place_limbs`."""
    bones = [Bone(ROOT, None, (0.0, 0.0, 0.0))]
    for name, height in TORSO.items():
        bones.append(Bone(name, bones[-1].name, (0.0, height, 0.0)))
    return [*bones, *(Bone(name, limb.parent, (0.0, 0.0, 0.0)) for name, limb in _limbs().items())]


def _place_limbs(container: Container, document: GltfDocument) -> None:
    """Set position and rotation of the limbs' nodes in the frames of their parents."""
    for name, limb in _limbs().items():
        node = container.document["nodes"][bone_node(document, name)]
        node["translation"], node["rotation"] = list(limb.position), list(limb.rotation)


def _add_floor(container: Container) -> int:
    """Add a triangle of a tenth of a millimetre between the feet, and return its node.

    TalkingHead lowers the hips by half of the height of the lowest vertex, in the belief that the
    feet float; without a vertex on the floor the head would leave the camera's view.
    """
    corners = 1e-4 * np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0]], dtype=np.float32)
    positions = container.add(corners, bounds=True)
    primitive = {"attributes": {"POSITION": positions}, "mode": 4}
    container.document["meshes"].append({"name": FLOOR, "primitives": [primitive]})
    nodes = container.document["nodes"]
    nodes.append({"name": FLOOR, "mesh": len(container.document["meshes"]) - 1})
    return len(nodes) - 1


def _head_on_body(avatar: Avatar) -> list[Bone]:
    """The bones of the skin by Mixamo's names, on the body."""
    bones = head_bones(avatar, parent="Spine2", height=HEAD_HEIGHT)
    return [
        replace(
            bone,
            name=BONE_NAMES.get(bone.name, bone.name),
            parent=BONE_NAMES.get(bone.parent or "", bone.parent),
        )
        for bone in bones
    ]


# The file


def write_talkinghead(
    path: str | Path,
    avatar: Avatar,
    colours: Float32[Array, "_ 3"] | Texture,
    *,
    licence: Mapping[str, str],
    shapes: Sequence[MorphTarget] = (),
    colours_at: Mapping[str, Float32[Array, "V 3"]] | None = None,
    settings: GlbSettings | None = None,
    synthetic_mark: bool = True,
) -> GlbFacts:
    """Write `avatar` as a GLB of the profile `talkinghead`, atomically.

    Args:
        path: the file to write.
        avatar: the baked avatar, whose expressions have ARKit's names unless `shapes` are given.
        colours: `[V, 3]` sRGB in 0..1, or a baked texture.
        licence: licence report (`manifest.licence_report`).
        shapes: ARKit's shapes of an avatar whose expressions are others.
        colours_at: target's name -> colours `[V, 3]` at its full weight, as for `write_glb`.
        settings: options; the defaults when None.
        synthetic_mark: whether the file carries the mark of `imavatar_deploy.marking`.

    Raises:
        UsageError: the path cannot be written.
        InputError: the colours do not fit the avatar.
    """
    settings = settings or GlbSettings()
    neutral = colours.neutral if isinstance(colours, Texture) else colours
    if not isinstance(colours, Texture):
        ensure_shape("colours", colours, (avatar.vertex_count, 3))
    changed = dict(colours_at or {})
    if neutral is not None:
        changed |= _mixed_colours(neutral, changed)
    targets = arkit_targets(avatar, shapes)
    document = GltfDocument(
        avatar,
        colours,
        [*targets, *mixed_targets(targets)],
        _head_on_body(avatar),
        licence,
        synthetic_mark=synthetic_mark,
        body=body_bones(),
        height=HEAD_HEIGHT,
        lit=settings.lit,
        target_normals=settings.stores_target_normals,
        colours_at=changed,
        compression=settings.compression,
    )
    container = build_container(document)
    _place_limbs(container, document)
    root = bone_node(document, ROOT)
    container.document["nodes"][root]["children"] += [MESH_NODE, _add_floor(container)]
    container.document["scenes"][0]["nodes"] = [root]
    with atomic_file(path) as partial:
        size = container.write(partial)
    source, faces = file_mesh(avatar, colours)
    return GlbFacts(
        size,
        len(source),
        len(faces),
        tuple(target.name for target in document.targets),
        strongest(avatar.skin_weights).lost,
        colour_morph_bytes=container.colour_change_bytes,
    )
