"""The table of sequence formats."""

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
"""Every format by name."""


def ready_formats(names: Iterable[str]) -> list[SequenceFormat]:
    """Rows of the named formats, each once and in the table's order.

    Raises:
        UsageError: a name is unknown.
        MissingDependencyError: a module that a format needs cannot be imported.
    """
    required = list(names)
    for name in required:
        if name not in FORMATS:
            raise unknown_name("sequence format", name, FORMATS)
    rows = [row for row in FORMATS.values() if row.name in required]
    for row in rows:
        for module in row.modules:
            require(module, extra=row.extra)
    return rows
