"""Settings: what an export may choose, checked before the long work."""

from __future__ import annotations

from dataclasses import dataclass

from imavatar_deploy.avatar_io import STORAGE
from imavatar_deploy.engines.flavours import COMPATIBILITY, FLAVOURS
from imavatar_deploy.errors import UsageError, unknown_name
from imavatar_deploy.model.surface.components import CHOICES
from imavatar_deploy.model.surface.extract import RESOLUTIONS

from .simplify import LEAST
from .tensorrt.precision import PRECISIONS


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
    trt_flavour: str = "auto"
    """A row of `engines.flavours.FLAVOURS`, or `auto`."""
    trt_precision: str = "auto"
    """A row of `precision.PRECISIONS`."""
    trt_targets: tuple[str, ...] = ()
    """Architectures to build for, as `sm89`; the flavour's own when empty."""
    trt_compatibility: str = "none"
    """A row of `engines.flavours.COMPATIBILITY`."""

    def __post_init__(self) -> None:
        if self.faces is not None and self.faces < LEAST:
            raise UsageError(f"a face budget must be at least {LEAST}, got {self.faces}")
        if self.resolution not in RESOLUTIONS:
            raise UsageError(f"resolution must be one of {', '.join(map(str, RESOLUTIONS))}, got {self.resolution}")
        if self.components not in CHOICES:
            raise unknown_name("choice of components", self.components, CHOICES)
        if self.storage not in STORAGE:
            raise unknown_name("storage", self.storage, STORAGE)
        if self.trt_precision not in PRECISIONS:
            raise unknown_name("precision", self.trt_precision, PRECISIONS)
        if self.trt_flavour not in (*FLAVOURS, "auto"):
            raise unknown_name("flavour of TensorRT", self.trt_flavour, (*FLAVOURS, "auto"))
        if self.trt_compatibility not in COMPATIBILITY:
            raise unknown_name("compatibility", self.trt_compatibility, COMPATIBILITY)
