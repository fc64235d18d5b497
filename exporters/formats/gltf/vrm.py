"""write_vrm: a GLB with the extension of VRM, with the 52 ARKit names as expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import imavatar_deploy
from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.errors import InputError

from . import vrm0
from .document import GltfDocument, bone_node, build_container
from .glb import GlbFacts
from .materials import Texture, file_mesh
from .morph_targets import (
    JAW_OPENING,
    MorphTarget,
    expression_targets,
    jaw_opening,
    largest,
    strongest,
)
from .settings import GlbSettings, VrmSettings
from .vrm_rig import (
    HEAD_HEIGHT,
    HUMANOID,
    between_the_eyes,
    body_bones,
    expressions,
    standing_head,
    turned,
)

EXTENSION = "VRMC_vrm"

LICENCE_URL = "https://vrm.dev/licenses/1.0/"
"""The only licence document of VRM 1.0."""

PICTURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}
"""First bytes of a picture -> its type."""

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
    """Write `avatar` as a VRM file, atomically: VRM 1.0, or 0.x if the settings say so.

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
        InputError: the colours do not fit the avatar, or the thumbnail cannot be read.
    """
    settings = settings or GlbSettings()
    if not isinstance(colours, Texture):
        ensure_shape("colours", colours, (avatar.vertex_count, 3))
    candidates = list(shapes) or expression_targets(avatar, avatar.expression_names)
    all_targets = [target for target in candidates if target.name != JAW_OPENING]
    jaw = next((shape for shape in shapes if shape.name == JAW_OPENING), jaw_opening(avatar))
    targets, dropped = largest(all_targets, (settings.max_targets or len(all_targets) + 1) - 1)
    vrm = settings.vrm
    picture = None if vrm.thumbnail is None else read_picture(vrm.thumbnail)
    older = vrm.version == "0"
    body = body_bones(chest=older)
    skin = standing_head(avatar, parent="chest" if older else "spine")
    document = GltfDocument(
        avatar,
        colours,
        [*targets, jaw],
        turned(skin) if older else skin,
        licence,
        synthetic_mark=synthetic_mark,
        body=turned(body) if older else body,
        height=HEAD_HEIGHT,
        turned=older,
        lit=settings.lit,
        target_normals=settings.stores_target_normals,
        colours_at=colours_at or {},
    )
    container = build_container(document)
    image = None if picture is None else container.add_image("thumbnail", *picture)
    if older:
        texture = None if image is None else container.add_texture(image)
        content = vrm0.extension(document, title, settings.author, vrm, texture)
        container.use_extension(vrm0.EXTENSION, content)
    else:
        content = _extension(document, title, settings.author, vrm, image)
        container.use_extension(EXTENSION, content)
    with atomic_file(path) as partial:
        size = container.write(partial)
    source, faces = file_mesh(avatar, colours)
    names = tuple(target.name for target in document.targets)
    return GlbFacts(
        size,
        len(source),
        len(faces),
        names,
        strongest(avatar.skin_weights).lost,
        dropped,
        colour_morph_bytes=container.colour_change_bytes,
    )


def read_picture(picture: Path) -> tuple[bytes, str]:
    """Content and MIME type of a picture.

    Raises:
        InputError: it cannot be read, or is neither PNG nor JPEG.
    """
    try:
        data = picture.read_bytes()
    except OSError as error:
        raise InputError(
            f"the thumbnail {picture} cannot be read ({error.strerror}); give a PNG or JPEG picture"
        ) from error
    for start, kind in PICTURES.items():
        if data.startswith(start):
            return data, kind
    raise InputError(f"the thumbnail {picture} is neither PNG nor JPEG; convert it")


def _extension(
    document: GltfDocument, title: str, author: str, settings: VrmSettings, image: int | None
) -> dict[str, Any]:
    return {
        "specVersion": "1.0",
        "meta": _meta(document.licence, title, author, settings, image),
        "humanoid": {
            "humanBones": {
                name: {"node": bone_node(document, bone)} for name, bone in HUMANOID.items()
            }
        },
        "expressions": expressions([target.name for target in document.targets]),
        "lookAt": _look_at(document),
    }


def _meta(
    licence: Mapping[str, str], title: str, author: str, settings: VrmSettings, image: int | None
) -> dict[str, Any]:
    return {
        "name": title,
        "version": imavatar_deploy.__version__,
        "authors": [author],
        "copyrightInformation": licence["use"],
        "thirdPartyLicenses": "\n".join(f"{name}: {text}" for name, text in licence.items()),
        "licenseUrl": LICENCE_URL,
        "avatarPermission": settings.users,
        "commercialUsage": settings.commercial,
        "creditNotation": "required",
        "allowRedistribution": settings.redistribution,
        "modification": settings.modification,
        **({} if image is None else {"thumbnailImage": image}),
    }


def _look_at(document: GltfDocument) -> dict[str, Any]:
    """Gaze control by the bones of the eyes, from a point between them."""
    directions = ("HorizontalInner", "HorizontalOuter", "VerticalDown", "VerticalUp")
    return {
        "type": "bone",
        "offsetFromHeadBone": between_the_eyes(document),
        **{f"rangeMap{direction}": EYE_RANGE for direction in directions},
    }
