"""MeshSettings: what the format mesh may choose."""

from __future__ import annotations

from dataclasses import dataclass

from imavatar_deploy.errors import unknown_name
from imavatar_deploy.trt.flavours import COMPATIBILITY, FLAVOURS

from .named_poses import PRESETS
from .tensorrt_precision import PRECISIONS

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


# TrtSettings: what TensorRT's engines may choose.


@dataclass(frozen=True)
class TrtSettings:
    """What TensorRT's engines may choose.

    Raises:
        UsageError: a choice that does not exist.
    """

    flavour: str = "auto"
    """A row of `engines.flavours.FLAVOURS`, or `auto`."""
    precision: str = "auto"
    """A row of `precision.PRECISIONS`."""
    targets: tuple[str, ...] = ()
    """Architectures to build for, as `sm89`; the flavour's own when empty."""
    compatibility: str = "none"
    """A row of `engines.flavours.COMPATIBILITY`."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
        if self.flavour not in (*FLAVOURS, "auto"):
            raise unknown_name("flavour of TensorRT", self.flavour, (*FLAVOURS, "auto"))
        if self.compatibility not in COMPATIBILITY:
            raise unknown_name("compatibility", self.compatibility, COMPATIBILITY)
