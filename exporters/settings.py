"""Settings: what an export may choose, checked before the long work."""

from __future__ import annotations

from dataclasses import dataclass

from imavatar_deploy.avatar_io import STORAGE
from imavatar_deploy.errors import UsageError, unknown_name
from imavatar_deploy.model.surface.components import CHOICES
from imavatar_deploy.model.surface.extract import RESOLUTIONS

from .simplify import LEAST

MESH_TYPES = ("obj", "ply")
"""What the format `mesh` can write."""


@dataclass(frozen=True)
class Settings:
    """What an export may choose.

    Raises:
        UsageError: a choice that does not exist.
    """

    formats: tuple[str, ...] = ("onnx",)
    """Rows of `formats.FORMATS`."""
    faces: int | None = 50_000
    """Face budget; None keeps every face of the extraction."""
    resolution: int = 256
    """Cells a side of the extraction's cube."""
    components: str = "visible"
    """Which connected parts are kept, see `components.keep_components`."""
    storage: str = "float32"
    """Of the bulk arrays, see `avatar_io.write_avatar`."""
    edition: str | None = None
    """Head model of a published checkpoint, where its file does not tell."""
    overwrite: bool = False
    """Replace an avatar that is already there."""
    expressions: str = "presets"
    """Which faces the format `mesh` writes, see `named_poses.named_poses`."""
    mesh_type: str = "ply"
    """Of `MESH_TYPES`."""
    from_field: bool = False
    """Take those meshes from the deformed field itself, face by face."""

    @property
    def field_alone(self) -> bool:
        """Whether nothing that is asked for needs a bake, which some variants cannot have."""
        return self.from_field and set(self.formats) == {"mesh"}

    def __post_init__(self) -> None:
        if self.faces is not None and self.faces < LEAST:
            raise UsageError(f"a face budget must be at least {LEAST}, got {self.faces}")
        if self.resolution not in RESOLUTIONS:
            raise UsageError(f"resolution must be one of {', '.join(map(str, RESOLUTIONS))}, got {self.resolution}")
        if self.components not in CHOICES:
            raise unknown_name("choice of components", self.components, CHOICES)
        if self.storage not in STORAGE:
            raise unknown_name("storage", self.storage, STORAGE)
        if self.mesh_type not in MESH_TYPES:
            raise unknown_name("mesh type", self.mesh_type, MESH_TYPES)
        if self.from_field and "mesh" not in self.formats:
            raise UsageError("--from-field is for meshes; add --format mesh")
