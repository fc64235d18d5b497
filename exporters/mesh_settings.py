"""MeshSettings: what the format mesh may choose, and the options for it."""

from __future__ import annotations

from dataclasses import dataclass

from imavatar_deploy.errors import unknown_name
from imavatar_deploy.option_groups import OptionGroup

from .format_option import FormatOption
from .named_poses import PRESETS

MESH_TYPES = ("obj", "ply")
"""What the format `mesh` can write."""


@dataclass(frozen=True)
class MeshSettings:
    """What the format mesh may choose.

    Raises:
        UsageError: a choice that does not exist.
    """

    expressions: str = PRESETS
    """Which faces are written, see `named_poses.named_poses`."""
    mesh_type: str = "ply"
    """Of `MESH_TYPES`."""
    from_field: bool = False
    """Take them from the deformed field itself, face by face."""

    def __post_init__(self) -> None:
        if self.mesh_type not in MESH_TYPES:
            raise unknown_name("mesh type", self.mesh_type, MESH_TYPES)


GROUP = OptionGroup(
    "mesh",
    "Meshes",
    (
        FormatOption(
            "--expressions",
            formats=("mesh",),
            default=PRESETS,
            metavar="FILE|presets",
            help="Faces of the format mesh: a track, or JSON such as "
            '{"smile": {"expression": {"mouthSmileLeft": 1}, "pose": {"jaw": [0.2, 0, 0]}}}.',
        ),
        FormatOption(
            "--mesh-type", formats=("mesh",), default="ply", help=f"Of the format mesh: {', '.join(MESH_TYPES)}."
        ),
        FormatOption(
            "--from-field",
            formats=("mesh",),
            is_flag=True,
            help="Take the meshes from the deformed field itself, face by face; this exports any variant of the "
            "networks.",
        ),
    ),
    MeshSettings,
)
