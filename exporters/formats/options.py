"""MeshSettings and TrtSettings: options of the formats `mesh` and `trt`."""

from __future__ import annotations

from dataclasses import dataclass

from imavatar_deploy.errors import unknown_name
from imavatar_deploy.trt.flavours import COMPATIBILITY, FLAVOURS

from .named_poses import PRESETS
from .tensorrt_precision import PRECISIONS

MESH_TYPES = ("obj", "ply")
"""File types of the format `mesh`."""


@dataclass(frozen=True)
class MeshSettings:
    """Options of the format `mesh`.

    Raises:
        UsageError: an option has a value that does not exist.
    """

    expressions: str = PRESETS
    """Expressions to write: the argument `source` of `named_poses.named_poses`."""
    mesh_type: str = "ply"
    """One of `MESH_TYPES`."""
    from_field: bool = False
    """Extract the meshes from the deformed field instead of posing the baked avatar."""

    def __post_init__(self) -> None:
        if self.mesh_type not in MESH_TYPES:
            raise unknown_name("mesh type", self.mesh_type, MESH_TYPES)


@dataclass(frozen=True)
class TrtSettings:
    """Options of TensorRT engines.

    Raises:
        UsageError: an option has a value that does not exist.
    """

    flavour: str = "auto"
    """A row of `imavatar_deploy.trt.flavours.FLAVOURS`, or `auto`."""
    precision: str = "auto"
    """A row of `tensorrt_precision.PRECISIONS`."""
    targets: tuple[str, ...] = ()
    """Architectures to build for, such as `sm89`; the flavour's defaults when empty."""
    compatibility: str = "none"
    """A row of `imavatar_deploy.trt.flavours.COMPATIBILITY`."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
        if self.flavour not in (*FLAVOURS, "auto"):
            raise unknown_name("flavour of TensorRT", self.flavour, (*FLAVOURS, "auto"))
        if self.compatibility not in COMPATIBILITY:
            raise unknown_name("compatibility", self.compatibility, COMPATIBILITY)
