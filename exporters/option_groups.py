"""The table of option groups: a format with choices of its own adds a row, and `settings.Settings` a field."""

from __future__ import annotations

from . import mesh_settings, motion_option, student_settings
from .format_option import FormatOption
from .gltf import options as gltf_options
from .tensorrt import settings as trt_settings
from .waterfall import settings as proof_settings

GROUPS = (
    proof_settings.GROUP,
    student_settings.GROUP,
    motion_option.GROUP,
    gltf_options.GROUP,
    mesh_settings.GROUP,
    trt_settings.GROUP,
)


def options_of(name: str) -> list[str]:
    """The options that a format obeys and others do not."""
    options = (option for group in GROUPS for option in group.options)
    return [option.opts[0] for option in options if isinstance(option, FormatOption) and name in option.formats]
