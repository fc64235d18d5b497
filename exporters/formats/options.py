"""Options of the formats: MeshSettings, UsdSettings, TrtSettings, WebSettings, ReportSettings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imavatar_deploy.errors import UsageError, unknown_name
from imavatar_deploy.trt.flavours import COMPATIBILITY, FLAVOURS

from .gltf.settings import TEXTURE_SIZES
from .named_poses import PRESETS
from .report.poses import POSES
from .tensorrt_precision import PRECISIONS

USD_COLOURS = {
    "vertex": "of each vertex, as displayColor",
    "texture": "a baked image, in the package of a usdz and beside a usd",
}
"""How a USD scene stores its colours."""

DEFAULT_USD_COLOURS = {"usd": "vertex", "usdz": "texture"}
"""Format -> its colours, unless the settings say otherwise.

AR Quick Look shows no colours of vertices.
"""

MESH_TYPES = ("obj", "ply")
"""File types of the format `mesh`."""


MESH_COLOURS = {
    "vertex": "of each vertex",
    "texture": "a baked image of each mesh, with texture coordinates; for obj",
}
"""How a mesh stores its colours."""


@dataclass(frozen=True)
class MeshSettings:
    """Options of the format `mesh`.

    Raises:
        UsageError: an option has a value that does not exist, or two options exclude each other.
    """

    expressions: str = PRESETS
    """Expressions to write: the argument `source` of `named_poses.named_poses`."""
    mesh_type: str = "ply"
    """One of `MESH_TYPES`."""
    from_field: bool = False
    """Extract the meshes from the deformed field instead of posing the baked avatar."""
    colour: str = "vertex"
    """A row of `MESH_COLOURS`."""
    texture_size: int = 512
    """Texels a side of the images. Each is a point of the networks, for every mesh."""

    def __post_init__(self) -> None:
        if self.colour not in MESH_COLOURS:
            raise unknown_name("colour of a mesh", self.colour, MESH_COLOURS)
        if self.texture_size not in TEXTURE_SIZES:
            choices = ", ".join(map(str, TEXTURE_SIZES))
            raise UsageError(
                f"the texture's size must be one of {choices}, got {self.texture_size}"
            )
        if self.colour == "texture" and (self.mesh_type != "obj" or self.from_field):
            raise UsageError(
                "a texture needs meshes of type obj of the baked avatar: use mesh_type='obj' "
                "(--mesh-type obj), without from_field (--from-field)"
            )
        if self.mesh_type not in MESH_TYPES:
            raise unknown_name("mesh type", self.mesh_type, MESH_TYPES)


@dataclass(frozen=True)
class UsdSettings:
    """Options of USD and USDZ.

    Raises:
        UsageError: an option has a value that does not exist.
    """

    colour: str | None = None
    """A row of `USD_COLOURS`; None for the row of each format in `DEFAULT_USD_COLOURS`."""
    texture_size: int = 512
    """Texels a side. Each is a point of the networks: 1024 takes minutes."""

    def __post_init__(self) -> None:
        if self.colour is not None and self.colour not in USD_COLOURS:
            raise unknown_name("colour of a USD scene", self.colour, USD_COLOURS)
        if self.texture_size not in TEXTURE_SIZES:
            choices = ", ".join(map(str, TEXTURE_SIZES))
            raise UsageError(
                f"the texture's size must be one of {choices}, got {self.texture_size}"
            )

    def is_textured(self, format_name: str) -> bool:
        """Whether the colours of a format (`usd` or `usdz`) are an image."""
        return (self.colour or DEFAULT_USD_COLOURS[format_name]) == "texture"


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


@dataclass(frozen=True)
class WebSettings:
    """Options of the format `web`."""

    camera: Path | None = None
    """Folder `dist` of the npm package onnxruntime-web: the page then tracks a face before the
    camera. None leaves the camera out."""


@dataclass(frozen=True)
class ReportSettings:
    """Options of the format `report`.

    Raises:
        UsageError: a pose does not exist, or is named twice.
    """

    poses: tuple[str, ...] = tuple(POSES)
    """Names of rows of `report.poses.POSES`: faces and views that the page shows."""

    def __post_init__(self) -> None:
        for number, name in enumerate(self.poses):
            if name not in POSES:
                raise unknown_name("pose of the report", name, POSES)
            if name in self.poses[:number]:
                raise UsageError(f"the poses of the report name {name!r} twice; name each once")
