"""ExportFormat: one row of the table of export formats; each format's file owns its row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imavatar_deploy.fidelity.parity import ParityReport
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.progress import Progress
from imavatar_deploy.student import Student

from ..bake import Bake
from ..settings import ExportSettings


@dataclass(frozen=True)
class ExportInput:
    """What a format is given to write from."""

    source: ImplicitAvatar
    bake: Bake
    settings: ExportSettings
    metadata: Mapping[str, str]
    """Schema, edition, units, hash of the source and package version, for files that can carry them."""
    student: Student | None = None
    """Trained after all else has been judged, when a format `takes_student`; None before."""


def _no_files(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class ExportFormat:
    """How an avatar folder gets the files of one format."""

    name: str
    description: str
    modules: tuple[str, ...]
    """What must be importable; asked for before the long work."""
    write: Callable[[Path, ExportInput, Progress], Mapping[str, Any]]
    """Put the files into a folder, but for the student's; gives what the manifest says of them."""
    check: Callable[[Path], list[ParityReport]]
    """Hold the files against what the networks compute."""
    extra: str = "export"
    """The extra of this package that brings `modules`."""
    playable: bool = False
    """Whether the player draws its files: they are judged as images, too."""
    takes_student: bool = False
    """Whether it writes the student, which is trained only then."""
    write_student: Callable[[Path, ExportInput, Progress], Mapping[str, Any]] = _no_files
    """Put the student's files into the folder; gives what the manifest says of them."""
    after_student: bool = False
    """Whether it packs what other formats wrote, the student's files with it."""
    refuse: Callable[[ImplicitAvatar, ExportSettings], object] = lambda avatar, settings: None
    """Raise what is wrong with the settings for this avatar, before the long work."""
    after: tuple[str, ...] = ()
    """Formats whose files this one is made from: they are written first, asked for or not."""
    beyond: str = ""
    """What it needs beyond `modules`, in words; `ready` finds out whether that is there."""
    ready: Callable[[ExportSettings], object] = lambda settings: None
    """What must hold beyond `modules`; asked before the long work, raises an ImavatarError."""
    notes: Callable[[Path], list[str]] = lambda folder: []
    """What the user must be told of the written files."""
