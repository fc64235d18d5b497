"""Command-line options of GLB and VRM."""

from __future__ import annotations

from imavatar_deploy.cli.command import rows_help
from imavatar_deploy.cli.options import OptionGroup

from ..format_option import FormatOption
from .settings import COLOURS, MATERIALS, TEXTURE_SIZES, GlbSettings

GLB_FORMATS = ("glb", "vrm")


def _settings(
    glb_colour: str,
    glb_texture: int,
    glb_colour_morphs: bool,
    glb_material: str,
    glb_normals: bool,
    max_targets: int | None,
    vrm_author: str,
) -> GlbSettings:
    return GlbSettings(
        glb_colour,
        glb_texture,
        glb_colour_morphs,
        max_targets,
        glb_normals,
        vrm_author,
        glb_material,
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
            "--glb-colour-morphs",
            formats=GLB_FORMATS,
            is_flag=True,
            help="Vertex colours that follow the expression and the jaw.",
        ),
        FormatOption(
            "--glb-material",
            formats=GLB_FORMATS,
            default="unlit",
            help=f"Material of glb and vrm. {rows_help(MATERIALS)}.",
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
            "--vrm-author",
            formats=("vrm",),
            default="unknown",
            help="Author that a vrm names.",
        ),
    ),
    _settings,
)
