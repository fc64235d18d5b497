"""Command-line options of GLB and VRM."""

from __future__ import annotations

from pathlib import Path

import click

from imavatar_deploy.cli.command import rows_help
from imavatar_deploy.cli.options import OptionGroup

from ..format_option import FormatOption
from .compression import COMPRESSIONS
from .settings import (
    COLOURS,
    COMMERCIAL,
    MATERIALS,
    MODIFICATION,
    PROFILES,
    TEXTURE_SIZES,
    USERS,
    VRM_VERSIONS,
    GlbSettings,
    VrmSettings,
)

GLB_FORMATS = ("glb", "vrm")


def _settings(
    glb_colour: str,
    glb_texture: int,
    glb_colour_morphs: bool | None,
    glb_material: str,
    glb_compress: str,
    glb_normals: bool,
    max_targets: int | None,
    vrm_version: str,
    vrm_title: str,
    vrm_author: str,
    vrm_thumbnail: Path | None,
    vrm_users: str,
    vrm_commercial: str,
    vrm_redistribution: bool,
    vrm_modification: str,
    profile: str,
) -> GlbSettings:
    vrm = VrmSettings(
        vrm_version,
        vrm_title,
        vrm_thumbnail,
        vrm_users,
        vrm_commercial,
        vrm_redistribution,
        vrm_modification,
    )
    return GlbSettings(
        glb_colour,
        glb_texture,
        glb_colour_morphs,
        max_targets,
        glb_normals,
        vrm_author,
        glb_material,
        glb_compress,
        vrm,
        profile,
    )


GROUP = OptionGroup(
    "glb",
    "GLB and VRM",
    (
        FormatOption(
            "--glb-colour",
            formats=GLB_FORMATS,
            default="vertex",
            help=f"Colours of glb and vrm. {rows_help(COLOURS)}.",
        ),
        FormatOption(
            "--glb-texture",
            formats=GLB_FORMATS,
            default=1024,
            help=f"Texels a side of --glb-colour texture: {', '.join(map(str, TEXTURE_SIZES))}.",
        ),
        FormatOption(
            "--glb-colour-morphs/--no-glb-colour-morphs",
            formats=GLB_FORMATS,
            default=None,
            help="Whether colours follow the expression and the jaw; by default where the change "
            "is visible.",
        ),
        FormatOption(
            "--glb-material",
            formats=GLB_FORMATS,
            default="unlit",
            help=f"Material of glb and vrm. {rows_help(MATERIALS)}.",
        ),
        FormatOption(
            "--glb-compress",
            formats=("glb",),
            default="none",
            help=f"Arrays of a glb. {rows_help(COMPRESSIONS)}.",
        ),
        FormatOption(
            "--glb-normals",
            formats=GLB_FORMATS,
            is_flag=True,
            help="Normals of every morph target, too; doubles a glb or vrm.",
        ),
        FormatOption(
            "--max-targets",
            formats=GLB_FORMATS,
            type=int,
            help="Largest number of morph targets of a glb or vrm; the largest displacements stay.",
        ),
        FormatOption(
            "--vrm-version",
            formats=("vrm",),
            default=VrmSettings.version,
            help=f"Version of VRM. {rows_help(VRM_VERSIONS)}.",
        ),
        FormatOption(
            "--vrm-title",
            formats=("vrm",),
            default=VrmSettings.title,
            help="Name of the avatar in a vrm.",
        ),
        FormatOption(
            "--vrm-author",
            formats=("vrm",),
            default="unknown",
            help="Author that a vrm names.",
        ),
        FormatOption(
            "--vrm-thumbnail",
            formats=("vrm",),
            type=click.Path(path_type=Path),
            metavar="PICTURE",
            help="Picture of the avatar in a vrm, PNG or JPEG.",
        ),
        FormatOption(
            "--vrm-users",
            formats=("vrm",),
            default=VrmSettings.users,
            help=f"Who may perform with a vrm. {rows_help(USERS)}.",
        ),
        FormatOption(
            "--vrm-commercial",
            formats=("vrm",),
            default=VrmSettings.commercial,
            help=f"Commercial use of a vrm. {rows_help(COMMERCIAL)}.",
        ),
        FormatOption(
            "--vrm-redistribution",
            formats=("vrm",),
            is_flag=True,
            help="Allow a vrm to be passed on.",
        ),
        FormatOption(
            "--vrm-modification",
            formats=("vrm",),
            default=VrmSettings.modification,
            help=f"Permitted changes of a vrm. {rows_help(MODIFICATION)}.",
        ),
        FormatOption(
            "--profile",
            formats=("glb",),
            default="plain",
            help=f"Skeleton and morph targets of a glb. {rows_help(PROFILES)}.",
        ),
    ),
    _settings,
)
