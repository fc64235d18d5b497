"""write_vrm: a GLB with the VRM 1.0 extension, with the 52 ARKit names as expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import imavatar_deploy
from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.checks import ensure_shape

from .document import GltfDocument, bone_node, build_container
from .glb import GlbFacts
from .materials import Texture, file_mesh
from .morph_targets import MorphTarget, expression_targets, jaw_opening, largest, strongest
from .settings import GlbSettings
from .vrm_rig import HEAD_HEIGHT, HUMANOID, body_bones, expressions, standing_head

EXTENSION = "VRMC_vrm"

LICENCE_URL = "https://vrm.dev/licenses/1.0/"
"""The only licence document of VRM 1.0. Its settings stay at their strictest values."""

EYE_RANGE = {"inputMaxValue": 90.0, "outputScale": 15.0}
"""Mapping from degrees of gaze to degrees of the eye bones."""


def write_vrm(
    path: str | Path,
    avatar: Avatar,
    colours: Float32[Array, "_ 3"] | Texture,
    *,
    licence: Mapping[str, str],
    title: str,
    shapes: Sequence[MorphTarget] = (),
    colours_at: Mapping[str, Float32[Array, "V 3"]] | None = None,
    settings: GlbSettings | None = None,
    synthetic_mark: bool = True,
) -> GlbFacts:
    """Write `avatar` as a VRM 1.0 file, atomically.

    The head is on an invisible body. `jawOpen` is an additional morph target with the rotation of
    the jaw bone and the pose correctives; `tongueOut` exists and moves nothing.

    Args:
        path: the file to write.
        avatar: the baked avatar.
        colours: `[V, 3]` sRGB in 0..1, or a baked texture, which more programs support.
        licence: licence report (`manifest.licence_report`).
        title: the avatar's name.
        shapes: ARKit's shapes of an avatar whose expressions are others; they replace them.
        colours_at: target's name -> colours `[V, 3]` at its full weight, as for `write_glb`.
        settings: options; the defaults when None.
        synthetic_mark: whether the file carries the mark of `imavatar_deploy.marking`.

    Raises:
        UsageError: the path cannot be written.
        InputError: the colours do not fit the avatar.
    """
    settings = settings or GlbSettings()
    if not isinstance(colours, Texture):
        ensure_shape("colours", colours, (avatar.vertex_count, 3))
    candidates = list(shapes) or expression_targets(avatar, avatar.expression_names)
    all_targets = [target for target in candidates if target.name != "jawOpen"]
    jaw = next((shape for shape in shapes if shape.name == "jawOpen"), jaw_opening(avatar))
    targets, dropped = largest(all_targets, (settings.max_targets or len(all_targets) + 1) - 1)
    document = GltfDocument(
        avatar,
        colours,
        [*targets, jaw],
        standing_head(avatar),
        licence,
        synthetic_mark=synthetic_mark,
        body=body_bones(),
        height=HEAD_HEIGHT,
        lit=settings.lit,
        target_normals=settings.stores_target_normals,
        colours_at=colours_at or {},
    )
    container = build_container(document)
    container.use_extension(EXTENSION, _extension(document, title, settings.author))
    with atomic_file(path) as partial:
        size = container.write(partial)
    source, faces = file_mesh(avatar, colours)
    names = tuple(target.name for target in document.targets)
    return GlbFacts(
        size, len(source), len(faces), names, strongest(avatar.skin_weights).lost, dropped
    )


def _extension(document: GltfDocument, title: str, author: str) -> dict[str, Any]:
    return {
        "specVersion": "1.0",
        "meta": _meta(document.licence, title, author),
        "humanoid": {
            "humanBones": {
                name: {"node": bone_node(document, bone)} for name, bone in HUMANOID.items()
            }
        },
        "expressions": expressions([target.name for target in document.targets]),
        "lookAt": _look_at(document),
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


def _look_at(document: GltfDocument) -> dict[str, Any]:
    """Gaze control by the bones of the eyes, from a point between them."""
    positions = {bone.name: np.array(bone.position) for bone in document.skin}
    between = (positions["eyeL"] + positions["eyeR"]) / 2 - positions["neck"]
    directions = ("HorizontalInner", "HorizontalOuter", "VerticalDown", "VerticalUp")
    return {
        "type": "bone",
        "offsetFromHeadBone": between.tolist(),
        **{f"rangeMap{direction}": EYE_RANGE for direction in directions},
    }
