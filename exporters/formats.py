"""The table of export formats: adding a format is adding a row."""

from __future__ import annotations

from collections.abc import Iterable

from imavatar_deploy.errors import unknown_name
from imavatar_deploy.optional import require

from . import glb_format, mesh_format, onnx_format, student_format
from .format import ExportFormat

ROWS = (*onnx_format.ROWS, student_format.ROW, *glb_format.ROWS, *mesh_format.ROWS)
FORMATS: dict[str, ExportFormat] = {row.name: row for row in ROWS}
"""Every known format by name."""


def ready_formats(names: Iterable[str]) -> list[ExportFormat]:
    """The rows of these names, each with its dependencies in place.

    Raises:
        UsageError: a name is unknown.
        MissingDependencyError: a module that a format needs cannot be imported.
    """
    rows = []
    for name in names:
        if name not in FORMATS:
            raise unknown_name("export format", name, FORMATS)
        rows.append(FORMATS[name])
        for module in FORMATS[name].modules:
            require(module, extra=FORMATS[name].extra)
    return rows
