"""bake_take: every frame of a take into files of any formats, and on again after any interruption."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import imavatar_deploy
from imavatar_deploy.progress import Advance, Progress, silent

from ..manifest import LICENCE, licence_of, licence_text
from ..skeleton import AT_REST, NEUTRAL
from .format import SequenceFormat
from .motion import Motion
from .obj import write_obj
from .outputs import Outputs
from .posing import Channels, FramePoser
from .resume import open_journal, writing
from .staging import Staging, WaitingFrames
from .workers import Crew, FrameWork, threads


def bake_take(
    take: Motion,
    out: str | Path,
    rows: Sequence[SequenceFormat],
    *,
    crew: Crew | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> list[Path]:
    """Bake a take into the folder `out`; gives what was written, see `outputs.Outputs`.

    Memory holds one frame a worker, however long the take is; frames of formats with one file wait on the disk.

    Args:
        rows: of `formats.FORMATS`.
        crew: who does the work: `threads.threads` (on all cores when None) or `ray_cluster.cluster`. The bytes do not
            depend on it.
        resume: go on with a bake that was interrupted, or begin one.
        overwrite: replace the bake that is there.

    Raises:
        UsageError: `out` cannot be written, is in the way, or was begun with other settings.
        InputError: the avatar has no texture network, or the motion throws a vertex out of all bounds.
        MissingDependencyError: colours need onnxruntime, and it is not there.
    """
    outputs = Outputs(Path(out).absolute(), take, rows)
    settings = {
        "version": imavatar_deploy.__version__,
        "formats": [row.name for row in rows],
        **take.identity(),
    }
    staging = open_journal(Path(out), settings, resume=resume, overwrite=overwrite)
    with writing(Path(out)):
        _bake(outputs, Staging(staging.folder.absolute()), crew or threads(), progress)
    return Outputs(Path(out), take, rows).written()


def _bake(outputs: Outputs, staging: Staging, crew: Crew, progress: Progress) -> None:
    for row in outputs.per_frame():
        (outputs.out / row.name).mkdir(exist_ok=True)
    _write_licence(outputs.out / LICENCE, outputs.take, staging)
    unwritten = outputs.unwritten()
    waiting = WaitingFrames(staging, outputs.channels(outputs.whole()) if unwritten else ())
    missing = outputs.missing(staging.folder if waiting.channels else None)
    with progress("baking frames", len(outputs.take)) as advance:
        advance(len(outputs.take) - len(missing))
        if missing:
            crew(FrameWork(outputs, staging, waiting), missing, advance)
    if outputs.mesh and not outputs.mesh.exists():
        _write_mesh(outputs.mesh, outputs.take, staging)
    for row in unwritten:
        _assemble(row, outputs, waiting, progress)
    staging.remove()


def _assemble(
    row: SequenceFormat, outputs: Outputs, waiting: WaitingFrames, progress: Progress
) -> None:
    """Put the frames that wait into the one file of a format."""
    assert row.whole is not None
    target = outputs.file(row)
    with (
        progress(f"writing {target.name}", len(outputs.take)) as advance,
        waiting.staging.whole(target) as partial,
    ):
        frames = waiting.in_order(len(outputs.take))
        row.whole(partial, outputs.take, (_told(frame, advance) for frame in frames))


def _told(frame: Channels, advance: Advance) -> Channels:
    advance(1)
    return frame


def _write_licence(path: Path, take: Motion, staging: Staging) -> None:
    if not path.exists():
        with staging.whole(path) as partial:
            partial.write_text(licence_text(licence_of(take.folder.manifest)), encoding="utf-8")


def _write_mesh(path: Path, take: Motion, staging: Staging) -> None:
    """The neutral head, whose vertices a point cache moves."""
    channels = FramePoser(take, ("vertices", "normals")).pose(NEUTRAL, AT_REST, "the neutral head")
    with staging.whole(path) as partial:
        write_obj(partial, take.avatar.faces, channels)
