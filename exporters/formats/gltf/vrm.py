"""write_vrm: the GLB as a VRM 1.0 avatar for VTuber programs, with the 52 ARKit names as expressions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import imavatar_deploy
from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.checks import ensure_shape

from .document import GltfDocument, bone_node, figure_document
from .glb import GlbFacts
from .materials import Texture, corners
from .morph_targets import expression_targets, jaw_opening, largest, strongest
from .settings import GlbSettings
from .vrm_rig import HUMANOID, STANDS_AT, body_bones, expressions, standing_head

Float = NDArray[np.float32]

EXTENSION = "VRMC_vrm"

LICENCE_URL = "https://vrm.dev/licenses/1.0/"
"""The one document that VRM 1.0 knows; its settings are left at their strictest, since we cannot know the person."""

EYE_REACH = {"inputMaxValue": 90.0, "outputScale": 15.0}
"""Degrees of gaze -> degrees of the eye."""


def write_vrm(
    path: str | Path,
    avatar: Avatar,
    colours: Float | Texture,
    *,
    licence: Mapping[str, str],
    title: str,
    colours_at: Mapping[str, Float] | None = None,
    settings: GlbSettings | None = None,
) -> GlbFacts:
    """Write `avatar` as a VRM 1.0 file; it appears whole or not at all.

    The head stands on an invisible body. `jawOpen` is one more morph target, which holds the jaw bone's turn and the
    correctives; `tongueOut` is named and does nothing.

    Args:
        colours: `[V, 3]` sRGB in 0..1, or a baked texture, which more programs show.
        licence: what the file says of itself.
        title: the avatar's name.
        colours_at: see `write_glb`.

    Raises:
        UsageError: the path cannot be written.
        InputError: the colours do not fit the avatar.
    """
    settings = settings or GlbSettings()
    if not isinstance(colours, Texture):
        ensure_shape("colours", colours, (avatar.vertex_count, 3))
    expressed = expression_targets(avatar, avatar.expression_names)
    kept, dropped = largest(expressed, (settings.max_targets or len(expressed) + 1) - 1)
    figure = GltfDocument(
        avatar,
        colours,
        [*kept, jaw_opening(avatar)],
        standing_head(avatar),
        licence,
        body=body_bones(),
        raised=STANDS_AT,
        target_normals=settings.target_normals,
        colours_at=colours_at or {},
    )
    container = figure_document(figure)
    container.document["extensionsUsed"].append(EXTENSION)
    container.document["extensions"] = {EXTENSION: _extension(figure, title, settings.author)}
    with atomic_file(path) as partial:
        size = container.write(partial)
    source, faces = corners(avatar, colours)
    names = tuple(target.name for target in figure.targets)
    return GlbFacts(
        size, len(source), len(faces), names, strongest(avatar.skin_weights).lost, dropped
    )


def _extension(figure: GltfDocument, title: str, author: str) -> dict[str, Any]:
    return {
        "specVersion": "1.0",
        "meta": _meta(figure.licence, title, author),
        "humanoid": {
            "humanBones": {
                name: {"node": bone_node(figure, ours)} for name, ours in HUMANOID.items()
            }
        },
        "expressions": expressions([target.name for target in figure.targets]),
        "lookAt": _look_at(figure),
    }


def _meta(licence: Mapping[str, str], title: str, author: str) -> dict[str, Any]:
    return {
        "name": title,
        "version": imavatar_deploy.__version__,
        "authors": [author],
        "copyrightInformation": licence["use"],
        "thirdPartyLicenses": "\n".join(f"{name}: {text}" for name, text in licence.items()),
        "licenseUrl": LICENCE_URL,
        "avatarPermission": "onlyAuthor",
        "commercialUsage": "personalNonProfit",
        "creditNotation": "required",
        "allowRedistribution": False,
        "modification": "prohibited",
    }


def _look_at(figure: GltfDocument) -> dict[str, Any]:
    """The gaze turns the eyes' bones, about a point between them."""
    where = {bone.name: np.array(bone.position) for bone in figure.skin}
    between = (where["eyeL"] + where["eyeR"]) / 2 - where["neck"]
    reaches = ("HorizontalInner", "HorizontalOuter", "VerticalDown", "VerticalUp")
    return {
        "type": "bone",
        "offsetFromHeadBone": between.tolist(),
        **{f"rangeMap{reach}": EYE_REACH for reach in reaches},
    }
