"""The table of sequence formats: adding a format is adding a row."""

from __future__ import annotations

from collections.abc import Iterable

from imavatar_deploy.errors import unknown_name
from imavatar_deploy.optional import require

from . import alembic, glb, obj, ply, point_caches, usd
from .format import SequenceFormat

FORMATS: dict[str, SequenceFormat] = {
    row.name: row
    for row in (
        obj.FORMAT,
        ply.FORMAT,
        glb.FORMAT,
        point_caches.PC2,
        point_caches.MDD,
        alembic.FORMAT,
        *usd.ROWS,
    )
}
"""Every known format by name."""


def ready_formats(names: Iterable[str]) -> list[SequenceFormat]:
    """The rows of these names, each once and in the table's order, with its dependencies in place.

    Raises:
        UsageError: a name is unknown.
        MissingDependencyError: a module that a format needs cannot be imported.
    """
    asked = list(names)
    for name in asked:
        if name not in FORMATS:
            raise unknown_name("sequence format", name, FORMATS)
    rows = [row for row in FORMATS.values() if row.name in asked]
    for row in rows:
        for module in row.modules:
            require(module, extra=row.extra)
    return rows
