"""The table of export formats."""

from __future__ import annotations

from collections.abc import Iterable

from imavatar_deploy.errors import UsageError, unknown_name
from imavatar_deploy.optional import require

from ..sequences.formats import FORMATS as SEQUENCES
from ..student.format import ROW as STUDENT_ROW
from . import fbx, mesh, onnx, tensorrt, triton, usd
from .format import ExportFormat
from .gltf.format import ROWS as GLTF_ROWS
from .report.format import ROWS as REPORT_ROWS
from .web.format import ROWS as WEB_ROWS

ROWS = (
    *onnx.ROWS,
    STUDENT_ROW,
    *tensorrt.ROWS,
    *triton.ROWS,
    *WEB_ROWS,
    *GLTF_ROWS,
    *fbx.ROWS,
    *usd.ROWS,
    *mesh.ROWS,
    *REPORT_ROWS,
)
FORMATS: dict[str, ExportFormat] = {row.name: row for row in ROWS}
"""Every format by name, in the order in which formats are written."""


def register_format(row: ExportFormat) -> None:
    """Add an export format of one's own, for `ExportSettings(formats=...)` of this process.

    Args:
        row: its name, and the functions that write and check its files. `write` is called with the
            avatar folder (a temporary one, which is renamed when everything is written), the
            `ExportInput` with the baked avatar, and a `Progress`; it returns what the manifest
            says of the files.

    Raises:
        UsageError: there is a format of this name already.

    Example:
        >>> from imavatar_deploy.exporters import ExportFormat, register_format
        >>> def write(folder, subject, progress):
        ...     np.savetxt(folder / "points.xyz", subject.bake.avatar.canonical.T)  # model units
        ...     return {"points": {"file": "points.xyz"}}
        >>> register_format(ExportFormat("xyz", "points", (), write, check=lambda folder: []))
    """
    if row.name in FORMATS:
        raise UsageError(f"there is an export format {row.name!r} already; choose another name")
    FORMATS[row.name] = row


def ready_formats(names: Iterable[str]) -> list[ExportFormat]:
    """Rows of the named formats and of the formats they are built from, in the table's order.

    Raises:
        UsageError: a name is unknown.
        MissingDependencyError: a module that a format needs cannot be imported.
    """
    required = _with_sources(names)
    rows = [row for row in FORMATS.values() if row.name in required]
    for row in rows:
        for module in row.modules:
            require(module, extra=row.extra)
    return rows


def _with_sources(names: Iterable[str]) -> set[str]:
    """The names with those of all formats they are built from."""
    required: set[str] = set()
    for name in names:
        if name in SEQUENCES and name not in FORMATS:
            raise UsageError(
                f"{name} is a format of motions: imavatar-bake AVATAR --format {name} "
                "(bake_sequences) writes it from an avatar folder; single faces are written by "
                "--format mesh"
            )
        if name not in FORMATS:
            raise unknown_name("export format", name, FORMATS)
        required |= {name} | _with_sources(FORMATS[name].after)
    return required
