"""The table of export formats."""

from __future__ import annotations

from collections.abc import Iterable

from imavatar_deploy.errors import unknown_name
from imavatar_deploy.optional import require

from ..student.format import ROW as STUDENT_ROW
from . import mesh, onnx, tensorrt, triton, usd
from .format import ExportFormat
from .gltf.format import ROWS as GLTF_ROWS

ROWS = (
    *onnx.ROWS,
    STUDENT_ROW,
    *tensorrt.ROWS,
    *triton.ROWS,
    *GLTF_ROWS,
    *usd.ROWS,
    *mesh.ROWS,
)
FORMATS: dict[str, ExportFormat] = {row.name: row for row in ROWS}
"""Every format by name, in the order in which formats are written."""


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
        if name not in FORMATS:
            raise unknown_name("export format", name, FORMATS)
        required |= {name} | _with_sources(FORMATS[name].after)
    return required
