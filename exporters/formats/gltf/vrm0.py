"""The extension of VRM 0.x, which VSeeFace and other older programs read instead of VRM 1.0's."""

from __future__ import annotations

from collections.abc import Mapping

import imavatar_deploy

from .container import Json
from .document import GltfDocument, bone_node
from .settings import VrmSettings
from .vrm_rig import HUMANOID, between_the_eyes, custom_mixes, preset_mixes

EXTENSION = "VRM"

CHEST = {"chest": "chest"}
"""VRM 0.x requires a bone that is optional in VRM 1.0."""

PRESET_NAMES = {
    "neutral": "neutral",
    "happy": "joy",
    "angry": "angry",
    "sad": "sorrow",
    "relaxed": "fun",
    "aa": "a",
    "ih": "i",
    "ou": "u",
    "ee": "e",
    "oh": "o",
    "blink": "blink",
    "blinkLeft": "blink_l",
    "blinkRight": "blink_r",
    "lookUp": "lookup",
    "lookDown": "lookdown",
    "lookLeft": "lookleft",
    "lookRight": "lookright",
}
"""Preset of VRM 1.0 -> that of VRM 0.x; `surprised` is a group of its own there."""

USERS = {
    "onlyAuthor": "OnlyAuthor",
    "onlySeparatelyLicensedPerson": "ExplicitlyLicensedPerson",
    "everyone": "Everyone",
}
"""Permitted users of VRM 1.0 -> those of VRM 0.x."""

FULL_WEIGHT = 100.0
"""Weight of a target at the full weight of its group."""

EYE_CURVE = {"curve": [0, 0, 0, 1, 1, 1, 1, 0], "xRange": 90.0, "yRange": 15.0}
"""Mapping from degrees of gaze to degrees of the eye bones, as in VRM 1.0."""


def extension(
    document: GltfDocument, title: str, author: str, settings: VrmSettings, texture: int | None
) -> Json:
    """The object of the extension.

    Args:
        document: the mesh and its bones.
        title: the avatar's name.
        author: of the avatar.
        settings: permissions.
        texture: index of the thumbnail's texture.
    """
    return {
        "exporterVersion": f"imavatar-deploy {imavatar_deploy.__version__}",
        "specVersion": "0.0",
        "meta": _meta(document.licence, title, author, settings, texture),
        "humanoid": _humanoid(document),
        "firstPerson": _first_person(document),
        "blendShapeMaster": {"blendShapeGroups": _groups(document)},
        "secondaryAnimation": {"boneGroups": [], "colliderGroups": []},
        "materialProperties": [
            {
                "name": "head",
                "shader": "VRM_USE_GLTFSHADER",
                "renderQueue": 2000,
                "floatProperties": {},
                "vectorProperties": {},
                "textureProperties": {},
                "keywordMap": {},
                "tagMap": {},
            }
        ],
    }


def _meta(
    licence: Mapping[str, str],
    title: str,
    author: str,
    settings: VrmSettings,
    texture: int | None,
) -> Json:
    conditions = "; ".join(f"{name}: {text}" for name, text in licence.items())
    return {
        "title": title,
        "version": imavatar_deploy.__version__,
        "author": author,
        "contactInformation": "",
        "reference": conditions,
        "allowedUserName": USERS[settings.users],
        "violentUssageName": "Disallow",  # the specification spells these names so
        "sexualUssageName": "Disallow",
        "commercialUssageName": (
            "Disallow" if settings.commercial == "personalNonProfit" else "Allow"
        ),
        "otherPermissionUrl": "",
        "licenseName": "Other" if settings.redistribution else "Redistribution_Prohibited",
        "otherLicenseUrl": "",
        **({} if texture is None else {"texture": texture}),
    }


def _humanoid(document: GltfDocument) -> Json:
    bones = [
        {"bone": name, "node": bone_node(document, bone), "useDefaultValues": True}
        for name, bone in (HUMANOID | CHEST).items()
    ]
    twists = ("upperArmTwist", "lowerArmTwist", "upperLegTwist", "lowerLegTwist")
    return {
        "humanBones": bones,
        "armStretch": 0.05,
        "legStretch": 0.05,
        **dict.fromkeys(twists, 0.5),
        "feetSpacing": 0.0,
        "hasTranslationDoF": False,
    }


def _first_person(document: GltfDocument) -> Json:
    directions = ("HorizontalInner", "HorizontalOuter", "VerticalDown", "VerticalUp")
    return {
        "firstPersonBone": bone_node(document, HUMANOID["head"]),
        "firstPersonBoneOffset": dict(zip("xyz", between_the_eyes(document), strict=True)),
        "meshAnnotations": [{"mesh": 0, "firstPersonFlag": "Auto"}],
        "lookAtTypeName": "Bone",
        **{f"lookAt{direction}": EYE_CURVE for direction in directions},
    }


def _groups(document: GltfDocument) -> list[Json]:
    """VRM's presets under the names of 0.x, then every target as a group of its own."""
    targets = [target.name for target in document.targets]
    presets = [
        (name, PRESET_NAMES.get(name, "unknown"), mix)
        for name, mix in preset_mixes(targets).items()
    ]
    custom = [(name, "unknown", mix) for name, mix in custom_mixes(targets).items()]
    return [
        {
            "name": name[:1].upper() + name[1:] if preset == "unknown" else preset.upper(),
            "presetName": preset,
            "binds": [
                {"mesh": 0, "index": targets.index(target), "weight": FULL_WEIGHT * weight}
                for target, weight in mix.items()
            ],
            "materialValues": [],
            "isBinary": False,
        }
        for name, preset, mix in (*presets, *custom)
    ]
