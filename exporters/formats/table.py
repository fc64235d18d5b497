"""The table of export formats: adding a format is adding a row."""

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
"""Every known format by name, in the order in which they are written."""


def ready_formats(names: Iterable[str]) -> list[ExportFormat]:
    """The rows of these names and of what they are made from, in the order of the table, dependencies in place.

    Raises:
        UsageError: a name is unknown.
        MissingDependencyError: a module that a format needs cannot be imported.
    """
    wanted = _with_what_they_are_made_from(names)
    rows = [row for row in FORMATS.values() if row.name in wanted]
    for row in rows:
        for module in row.modules:
            require(module, extra=row.extra)
    return rows


def _with_what_they_are_made_from(names: Iterable[str]) -> set[str]:
    wanted: set[str] = set()
    for name in names:
        if name not in FORMATS:
            raise unknown_name("export format", name, FORMATS)
        wanted |= {name} | _with_what_they_are_made_from(FORMATS[name].after)
    return wanted
