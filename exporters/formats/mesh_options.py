"""MeshSettings: what the format mesh may choose."""

from __future__ import annotations

from dataclasses import dataclass

from imavatar_deploy.errors import unknown_name

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
