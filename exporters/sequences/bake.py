"""bake_motion: write every frame of a motion in several formats; interrupted bakes can resume."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
from .workers import FrameExecutor, FrameWork, thread_executor


def bake_motion(
    motion: Motion,
    out: str | Path,
    rows: Sequence[SequenceFormat],
    *,
    executor: FrameExecutor | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> list[Path]:
    """Bake a motion into the folder `out`.

    Memory holds one frame a worker, however long the motion is; frames of formats with one file are
    stored on the disk until all are there.

    Args:
        motion: the avatar and its track.
        out: the folder to write.
        rows: of `formats.FORMATS`.
        executor: runs the work: `workers.thread_executor` (on all cores when None) or
            `ray_cluster.ray_executor`. The bytes do not depend on it.
        resume: continue an interrupted bake, or begin one.
        overwrite: replace an existing bake.
        progress: shows how far the work is.

    Returns:
        The written files and folders (`outputs.Outputs.written`).

    Raises:
        UsageError: `out` cannot be written, holds other files, or a bake with other settings.
        InputError: the avatar has no texture network, or the motion moves a vertex out of bounds.
        MissingDependencyError: colours need onnxruntime, which is not installed.
    """
    outputs = Outputs(Path(out).absolute(), motion, rows)
    settings = {
        "version": imavatar_deploy.__version__,
        "formats": [row.name for row in rows],
        **motion.identity(),
    }
    staging = open_journal(Path(out), settings, resume=resume, overwrite=overwrite)
    with writing(Path(out)):
        _bake(outputs, Staging(staging.folder.absolute()), executor or thread_executor(), progress)
    return Outputs(Path(out), motion, rows).written()


def _bake(outputs: Outputs, staging: Staging, executor: FrameExecutor, progress: Progress) -> None:
    for row in outputs.per_frame():
        (outputs.out / row.name).mkdir(exist_ok=True)
    _write_licence(outputs.out / LICENCE, outputs.motion, staging)
    unwritten = outputs.unwritten()
    waiting = WaitingFrames(staging, outputs.channels(outputs.whole()) if unwritten else ())
    missing = outputs.missing(staging.folder if waiting.channels else None)
    with progress("baking frames", len(outputs.motion)) as advance:
        advance(len(outputs.motion) - len(missing))
        if missing:
            executor(FrameWork(outputs, staging, waiting), missing, advance)
    if outputs.mesh and not outputs.mesh.exists():
        _write_mesh(outputs.mesh, outputs.motion, staging)
    for row in unwritten:
        _assemble(row, outputs, waiting, progress)
    staging.remove()


def _assemble(
    row: SequenceFormat, outputs: Outputs, waiting: WaitingFrames, progress: Progress
) -> None:
    """Assemble the stored frames into the one file of a format."""
    assert row.whole is not None
    target = outputs.file(row)
    with (
        progress(f"writing {target.name}", len(outputs.motion)) as advance,
        waiting.staging.whole(target) as partial,
    ):
        frames = waiting.in_order(len(outputs.motion))
        row.whole(partial, outputs.motion, _counted(frames, advance))


def _counted(frames: Iterable[Channels], advance: Advance) -> Iterator[Channels]:
    for frame in frames:
        advance(1)
        yield frame


def _write_licence(path: Path, motion: Motion, staging: Staging) -> None:
    if not path.exists():
        with staging.whole(path) as partial:
            partial.write_text(licence_text(licence_of(motion.folder.manifest)), encoding="utf-8")


def _write_mesh(path: Path, motion: Motion, staging: Staging) -> None:
    """Write the neutral head, whose vertices a point cache moves."""
    poser = FramePoser(motion, ("vertices", "normals"))
    channels = poser.pose(NEUTRAL, AT_REST, "the neutral head")
    with staging.whole(path) as partial:
        write_obj(partial, motion.avatar.faces, channels)
