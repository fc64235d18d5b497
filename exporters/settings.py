"""Settings: what an export may choose, checked before the long work."""

from __future__ import annotations

from dataclasses import dataclass, field

from imavatar_deploy.avatar_io import STORAGE
from imavatar_deploy.errors import UsageError, unknown_name
from imavatar_deploy.model.surface.extract import RESOLUTIONS
from imavatar_deploy.model.surface.mesh import CHOICES
from imavatar_deploy.tracks import FlameTrack

from .fidelity.options import FidelitySettings
from .formats.gltf.settings import GlbSettings
from .formats.options import MeshSettings, TrtSettings
from .student.options import StudentSettings

MIN_FACES = 100
"""A head of fewer faces is a mistake."""


@dataclass(frozen=True)
class ExportSettings:
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
    keep_strays: bool = False
    """Keep loose pieces that float free of the head, see `stray_parts.drop_strays`."""
    storage: str = "float32"
    """Of the bulk arrays, see `avatar_io.write_avatar`."""
    edition: str | None = None
    """Head model of a published checkpoint, where its file does not tell."""
    student: StudentSettings | None = field(default_factory=StudentSettings)
    """Which student formats that take one bring; None leaves it out."""
    overwrite: bool = False
    """Replace an avatar that is already there."""
    track: FlameTrack | None = None
    """A motion for formats that can hold one."""
    glb: GlbSettings = field(default_factory=GlbSettings)
    """For GLB and VRM."""
    mesh: MeshSettings = field(default_factory=MeshSettings)
    """For the format `mesh`."""
    trt: TrtSettings = field(default_factory=TrtSettings)
    """For TensorRT's engines."""
    proof: FidelitySettings = field(default_factory=FidelitySettings)
    """How the waterfall is judged."""

    @property
    def drops_strays(self) -> bool:
        """Whether loose pieces are left out: `all` components are all of them."""
        return not self.keep_strays and self.components != "all"

    @property
    def field_alone(self) -> bool:
        """Whether nothing that is asked for needs a bake, which some variants cannot have."""
        return self.mesh.from_field and set(self.formats) == {"mesh"}

    def __post_init__(self) -> None:
        if self.faces is not None and self.faces < MIN_FACES:
            raise UsageError(f"a face budget must be at least {MIN_FACES}, got {self.faces}")
        if self.resolution not in RESOLUTIONS:
            raise UsageError(
                f"resolution must be one of {', '.join(map(str, RESOLUTIONS))}, got {self.resolution}"
            )
        if self.components not in CHOICES:
            raise unknown_name("choice of components", self.components, CHOICES)
        if self.storage not in STORAGE:
            raise unknown_name("storage", self.storage, STORAGE)
        if self.mesh.from_field and "mesh" not in self.formats:
            raise UsageError("--from-field is for meshes; add --format mesh")
        if self.student is None and "student" in self.formats:
            raise UsageError(
                "the format student is nothing without a student: leave out --no-student, or the format"
            )
