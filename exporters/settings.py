"""ExportSettings: options of an export, checked when they are made."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from imavatar_deploy.avatar_io import STORAGE
from imavatar_deploy.errors import UsageError, unknown_name
from imavatar_deploy.model.surface.extract import RESOLUTIONS
from imavatar_deploy.model.surface.mesh import CHOICES
from imavatar_deploy.retarget import ExpressionMap
from imavatar_deploy.tracks import FlameTrack

from .fidelity.options import FidelitySettings
from .formats.gltf.settings import GlbSettings
from .formats.options import (
    MeshSettings,
    ReportSettings,
    TrtSettings,
    UsdSettings,
    WebSettings,
)
from .parts import PART_CHOICES
from .refine.options import RefineSettings
from .student.options import StudentSettings
from .unseen_options import UnseenSettings

OPSETS = range(15, 21)
"""ONNX opsets that a graph can have; older ones are for engines that do not support 18."""

MIN_FACES = 100
"""Smallest face budget; fewer faces cannot show a head."""

PROFILE_FORMATS = frozenset(("glb", "fbx"))
"""Formats to which the profile of a GLB applies: `fbx` is converted from the GLB."""


@dataclass(frozen=True)
class ExportSettings:
    """Options of an export.

    Raises:
        UsageError: an option has another type, or a value that does not exist.
    """

    formats: tuple[str, ...] = ("onnx",)
    """Names of rows of `formats.table.FORMATS`, looked up when the export begins."""
    faces: int | None = 50_000
    """Face budget; None keeps every face of the extraction."""
    resolution: int = 256
    """Cells a side of the extraction's cube."""
    components: str = "visible"
    """Which connected parts are kept: a row of `imavatar_deploy.model.surface.mesh.CHOICES`."""
    keep_strays: bool = False
    """Keep loose pieces that float free of the head (`mesh_cleanup.drop_strays`)."""
    parts: str = "mouth"
    """Openings that get parts of the head model (OpenHead only): a row of `parts.PART_CHOICES`."""
    storage: str = "float32"
    """Element type of the bulk arrays: a row of `imavatar_deploy.avatar_io.STORAGE`."""
    edition: str | None = None
    """Head model of a published checkpoint whose file does not name it."""
    student: StudentSettings | None = field(default_factory=StudentSettings)
    """Student of the formats that take one; None leaves it out."""
    refine: RefineSettings | None = None
    """Refinement of the student on the images of a dataset; None leaves it as it is distilled."""
    overwrite: bool = False
    """Replace an existing avatar folder."""
    opset: int = 18
    """ONNX opset of the graphs: one of `OPSETS`."""
    track: FlameTrack | None = None
    """Motion for the formats that can hold one."""
    arkit_map: ExpressionMap | None = None
    """Map from ARKit's shapes, which glb, vrm, usd and usdz of an avatar without them then get."""
    glb: GlbSettings = field(default_factory=GlbSettings)
    """Options of GLB and VRM."""
    usd: UsdSettings = field(default_factory=UsdSettings)
    """Options of USD and USDZ."""
    mesh: MeshSettings = field(default_factory=MeshSettings)
    """Options of the format `mesh`."""
    report: ReportSettings = field(default_factory=ReportSettings)
    """Options of the format `report`."""
    unseen: UnseenSettings = field(default_factory=UnseenSettings)
    """Options of the surface that no training view shows."""
    trt: TrtSettings = field(default_factory=TrtSettings)
    """Options of TensorRT engines."""
    web: WebSettings = field(default_factory=WebSettings)
    """Options of the format `web`."""
    proof: FidelitySettings = field(default_factory=FidelitySettings)
    """Options of the fidelity report."""
    synthetic_mark: bool = True
    """Whether files carry the machine-readable mark of `imavatar_deploy.marking`."""

    @property
    def drops_strays(self) -> bool:
        """Whether loose pieces are left out; with the components `all` they are not."""
        return not self.keep_strays and self.components != "all"

    @property
    def field_alone(self) -> bool:
        """Whether the only format is `mesh` from the field, which needs no bake."""
        return self.mesh.from_field and set(self.formats) == {"mesh"}

    def __post_init__(self) -> None:
        formats: Any = self.formats
        if isinstance(formats, str) or not formats:
            raise UsageError(
                f"formats must be one or more names, such as ('player',), got {formats!r}"
            )
        if twice := [name for name, count in Counter(formats).items() if count > 1]:
            raise UsageError(
                f"formats (--format) names {', '.join(map(repr, twice))} more than once; "
                "name each format once"
            )
        if self.faces is not None and not isinstance(self.faces, int):
            raise UsageError(f"faces must be a whole number or None, got {self.faces!r}")
        if self.faces is not None and self.faces < MIN_FACES:
            raise UsageError(f"a face budget must be at least {MIN_FACES}, got {self.faces}")
        if self.resolution not in RESOLUTIONS:
            choices = ", ".join(map(str, RESOLUTIONS))
            raise UsageError(f"resolution must be one of {choices}, got {self.resolution}")
        if self.opset not in OPSETS:
            raise UsageError(
                f"the opset must be between {OPSETS[0]} and {OPSETS[-1]}, got {self.opset}"
            )
        if self.components not in CHOICES:
            raise unknown_name("choice of components", self.components, CHOICES)
        if self.parts not in PART_CHOICES:
            raise unknown_name("choice of parts", self.parts, PART_CHOICES)
        if self.storage not in STORAGE:
            raise unknown_name("storage", self.storage, STORAGE)
        self._check_formats()

    def _check_formats(self) -> None:
        """Check that what the settings ask for fits their formats."""
        if self.mesh.from_field and "mesh" not in self.formats:
            raise UsageError(
                "mesh.from_field (--from-field) applies to meshes only; add --format mesh"
            )
        if self.glb.profile != "plain" and PROFILE_FORMATS.isdisjoint(self.formats):
            raise UsageError(
                f"the profile {self.glb.profile} (--profile) is one of a glb, and the formats are "
                f"{', '.join(self.formats)}: add glb to --format, or leave the profile out"
            )
        if self.report != ReportSettings() and "report" not in self.formats:
            raise UsageError(
                "poses of the report (--report-poses) need the format report: add it to --format, "
                "or leave the poses out"
            )
        if self.refine is not None and (self.student is None or self.field_alone):
            raise UsageError(
                "a refinement needs a student: leave refine (--refine) out, or the settings that "
                "leave out the student (student=None, --no-student, --from-field alone)"
            )
        if self.student is None and "student" in self.formats:
            raise UsageError(
                "the format student needs a student, and student=None (--no-student) leaves "
                "it out; give one of them"
            )
