"""Settings: what an export may choose, checked before the long work."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from imavatar_deploy.avatar_io import STORAGE
from imavatar_deploy.engines.flavours import COMPATIBILITY, FLAVOURS
from imavatar_deploy.errors import UsageError, unknown_name
from imavatar_deploy.model.surface.components import CHOICES
from imavatar_deploy.model.surface.extract import RESOLUTIONS
from imavatar_deploy.student import WIDTHS
from imavatar_deploy.tracks import FlameTrack

from .gltf.settings import GlbSettings
from .simplify import LEAST
from .student import STEPS
from .tensorrt.precision import PRECISIONS

MESH_TYPES = ("obj", "ply")
"""What the format `mesh` can write."""

LEAST_PROOF = 32
"""Pixels a side below which a mouth is no region any more."""


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
    student: int | None = WIDTHS[0]
    """Hidden width of the student, which formats that take one then bring; None leaves it out."""
    student_steps: int = STEPS
    """Of its training."""
    overwrite: bool = False
    """Replace an avatar that is already there."""
    track: FlameTrack | None = None
    """A motion for formats that can hold one."""
    glb: GlbSettings = field(default_factory=GlbSettings)
    """For GLB and VRM."""
    expressions: str = "presets"
    """Which faces the format `mesh` writes, see `named_poses.named_poses`."""
    mesh_type: str = "ply"
    """Of `MESH_TYPES`."""
    from_field: bool = False
    """Take those meshes from the deformed field itself, face by face."""

    proof_size: int = 96
    """Pixels a side of the frames on which the waterfall is judged."""
    tolerances: Path | None = None
    """A TOML file that changes some of `waterfall/tolerances.toml`."""
    allow_drift: str | None = None
    """Why an avatar that misses a tolerance is to be written all the same; goes into its manifest."""

    trt_flavour: str = "auto"
    """A row of `engines.flavours.FLAVOURS`, or `auto`."""
    trt_precision: str = "auto"
    """A row of `precision.PRECISIONS`."""
    trt_targets: tuple[str, ...] = ()
    """Architectures to build for, as `sm89`; the flavour's own when empty."""
    trt_compatibility: str = "none"
    """A row of `engines.flavours.COMPATIBILITY`."""

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
        if self.trt_precision not in PRECISIONS:
            raise unknown_name("precision", self.trt_precision, PRECISIONS)
        if self.trt_flavour not in (*FLAVOURS, "auto"):
            raise unknown_name("flavour of TensorRT", self.trt_flavour, (*FLAVOURS, "auto"))
        if self.trt_compatibility not in COMPATIBILITY:
            raise unknown_name("compatibility", self.trt_compatibility, COMPATIBILITY)
        self._check_student()
        self._check_proof()

    def _check_proof(self) -> None:
        if self.proof_size < LEAST_PROOF:
            raise UsageError(f"--proof-size must be at least {LEAST_PROOF} pixels, got {self.proof_size}")
        if self.allow_drift is not None and not self.allow_drift.strip():
            raise UsageError("--allow-drift needs a reason, which the manifest keeps")

    def _check_student(self) -> None:
        if self.student is None and "student" in self.formats:
            raise UsageError("the format student is nothing without a student: leave out --no-student, or the format")
        if self.student is not None and self.student not in WIDTHS:
            raise UsageError(f"a student must be {', '.join(map(str, WIDTHS))} wide, got {self.student}")
        if self.student_steps < 0:
            raise UsageError(f"a student's training must have 0 steps or more, got {self.student_steps}")
