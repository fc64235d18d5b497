"""The table of checkups: adding a part is adding a row."""

from __future__ import annotations

from . import core_parts, gpu_parts, optional_parts
from .checkup import Checkup

CHECKUPS: dict[str, Checkup] = {
    row.name: row for rows in (core_parts.ROWS, gpu_parts.ROWS, optional_parts.ROWS) for row in rows
}
"""Every part by name."""
