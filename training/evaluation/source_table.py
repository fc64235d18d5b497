"""The table of prediction sources: a run, a baked avatar, or a directory of frames."""

from __future__ import annotations

from imavatar_deploy.errors import InputError

from . import from_avatar, from_frames, from_run
from .interfaces import SourceKind

SOURCES: dict[str, SourceKind] = {
    row.name: row for row in (from_avatar.KIND, from_run.KIND, from_frames.KIND)
}
"""Kinds of sources by name; the first that matches a path opens it."""


def source_kind(path: str) -> SourceKind:
    """The kind of the source at `path`.

    Raises:
        InputError: no kind matches.
    """
    for row in SOURCES.values():
        if row.matches(path):
            return row
    known = "; ".join(row.description for row in SOURCES.values())
    raise InputError(f"{path} cannot be evaluated: expected {known}")
