"""ExportFormat: one row of the table of export formats; each row is in the file of its format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imavatar_deploy.errors import InternalError
from imavatar_deploy.fidelity.parity import ParityReport
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.progress import Progress
from imavatar_deploy.student import Student

from ..bake import Bake
from ..settings import ExportSettings
from ..stored_avatar import StoredAvatar

Source = ImplicitAvatar | StoredAvatar
"""What a format is written from: the networks of a checkpoint, or an avatar folder."""


@dataclass(frozen=True)
class ExportInput:
    """The avatar that a format writes, and the settings of the export."""

    source: Source
    bake: Bake | StoredAvatar
    settings: ExportSettings
    metadata: Mapping[str, str]
    """Schema, edition, units, hash of the source and package version, for files with metadata."""
    student: Student | None = None
    """Trained after all other checks, if a format `takes_student`; None before."""
    refined: bool = False
    """Whether every format takes the student's colours, as it does from a refined student."""

    @property
    def colour_student(self) -> Student | None:
        """The student whose colours formats bake; None for those of the full texture network."""
        return self.student if self.refined else None

    @property
    def networks(self) -> ImplicitAvatar:
        """The networks of the checkpoint.

        Raises:
            InternalError: the source is an avatar folder.
        """
        if isinstance(self.source, StoredAvatar):
            raise InternalError(f"{self.source.folder.path} holds no networks")
        return self.source

    @property
    def network_bake(self) -> Bake:
        """The bake with what the networks computed at its vertices.

        Raises:
            InternalError: the source is an avatar folder.
        """
        if isinstance(self.bake, StoredAvatar):
            raise InternalError(f"{self.bake.folder.path} holds no networks")
        return self.bake


def _no_files(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class ExportFormat:
    """One export format: its requirements, and how its files are written and checked."""

    name: str
    description: str
    modules: tuple[str, ...]
    """Modules that must be importable; checked before the long work."""
    write: Callable[[Path, ExportInput, Progress], Mapping[str, Any]]
    """Writes the files, except the student's, into a folder; returns their manifest entries."""
    check: Callable[[Path], list[ParityReport]]
    """Compares the files with what the networks compute."""
    extra: str = "export"
    """The extra of this package that installs `modules`."""
    playable: bool = False
    """Whether the player renders its files; they are then compared as images, too."""
    takes_student: bool = False
    """Whether it writes the student, which is trained only then."""
    write_student: Callable[[Path, ExportInput, Progress], Mapping[str, Any]] = _no_files
    """Writes the student's files into the folder; returns their manifest entries."""
    after_student: bool = False
    """Whether it packs the files of other formats, including the student's."""
    bakes_colours: bool = False
    """Whether its files hold colours, which are those of a refined student where there is one."""
    refuse: Callable[[Source, ExportSettings], object] = lambda avatar, settings: None
    """Raises an error if the settings do not fit the avatar; called before the long work."""
    after: tuple[str, ...] = ()
    """Formats whose files this one is built from; they are always written first."""
    beyond: str = ""
    """Description of requirements besides `modules`, which `ready` checks."""
    ready: Callable[[ExportSettings], object] = lambda settings: None
    """Raises an ImavatarError if a requirement is missing; called before the long work."""
    stage: str = ""
    """Stage of the fidelity report that draws its files, besides those of every export."""
    notes: Callable[[Path], list[str]] = lambda folder: []
    """Sentences for the user about the written files."""
    output: str = ""
    """File or folder that it writes; see `folder_files`."""
    folder_files: tuple[str, ...] | None = None
    """Files of an avatar folder that `add_formats` writes it from; None: it needs a checkpoint."""
