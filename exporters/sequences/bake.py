"""bake_motion: write every frame of a motion in several formats; interrupted bakes can resume."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import imavatar_deploy
from imavatar_deploy.progress import Advance, Progress, Say, quiet, silent

from ..manifest import LICENCE, licence_of, licence_text
from ..skeleton import NEUTRAL_EXPRESSION, REST_POSE
from .format import SequenceFormat
from .formats import ready_formats
from .motion import Motion, open_motion
from .neutral_colours import why_grey, with_neutral_colours
from .obj import write_obj
from .outputs import Outputs
from .posing import Channels, FramePoser
from .resume import open_journal, writing
from .staging import Staging, WaitingFrames
from .workers import FrameExecutor, FrameWork, thread_executor


@dataclass(frozen=True)
class SequenceReport:
    """What `bake_sequences` wrote."""

    files: tuple[Path, ...]
    """Files, and folders of formats with a file a frame."""
    frames: int
    vertices: int
    """Of each frame's mesh."""
    fps: float
    """Frames a second of the motion."""
    seconds: float
    """Wall time of the work, without opening avatar and track."""


def bake_sequences(
    avatar: str | Path,
    track: str | Path,
    out: str | Path,
    formats: Iterable[str],
    *,
    frames: slice | None = None,
    fps: float | None = None,
    colour: bool | None = None,
    jobs: int | None = None,
    executor: FrameExecutor | None = None,
    resume: bool = False,
    overwrite: bool = False,
    any_edition: bool = False,
    synthetic_mark: bool = True,
    progress: Progress = silent,
    say: Say = quiet,
) -> SequenceReport:
    """Bake a motion into mesh sequences for other programs, as `imavatar-bake` does.

    This needs no torch. The files are in metres, +Y up, facing +Z, and do not depend on `jobs`.

    Args:
        avatar: an avatar folder, or the word `sample`.
        track: a track's file or folder, or the word `talk`.
        out: the folder to write.
        formats: names of `SEQUENCE_FORMATS`, such as `("obj", "pc2")`.
        frames: which frames of the track, before it is retimed; all when None.
        fps: frames a second to bake, at the speed of the track; its own rate when None.
        colour: None for the colours of the neutral face in every frame, True for those of each
            frame where the format can hold them, False for none.
        jobs: threads; as many as there are cores when None.
        executor: runs the work instead of threads, such as `ray_cluster.ray_executor`.
        resume: go on with a bake that was interrupted, or begin one.
        overwrite: replace the bake that is there.
        any_edition: bake a motion of another head model all the same.
        synthetic_mark: whether files carry the mark of `imavatar_deploy.marking`.
        progress: shows how far it is.
        say: called with each note about what the files cannot hold, before the work.

    Raises:
        UsageError: a name, a number or a slice that cannot be, or `out` cannot be written.
        InputError: the avatar or the track cannot be read, or they do not fit.
        EditionMismatchError: the track was made for another head model.
        MissingDependencyError: a format or colours need a package that is not installed.

    Example:
        >>> from imavatar_deploy.exporters import bake_sequences
        >>> report = bake_sequences("sample", "talk", "baked", ["pc2"], frames=slice(0, 50))
        >>> report.frames, report.frames / report.seconds  # frames, frames a second
    """
    rows = ready_formats(formats)
    motion = open_motion(
        avatar,
        track,
        frames=frames,
        fps=fps,
        colour=colour,
        any_edition=any_edition,
        synthetic_mark=synthetic_mark,
    )
    motion = with_neutral_colours(motion)
    for note in (
        *motion.track.notes,
        *_colour_notes(motion),
        *(note for row in rows for note in row.notes(motion)),
    ):
        say(note)
    start = time.perf_counter()
    files = bake_motion(
        motion,
        out,
        rows,
        executor=executor or thread_executor(jobs),
        resume=resume,
        overwrite=overwrite,
        progress=progress,
    )
    seconds = time.perf_counter() - start
    return SequenceReport(
        tuple(files), len(motion), motion.avatar.vertex_count, motion.fps, seconds
    )


def _colour_notes(motion: Motion) -> list[str]:
    """The reason why files are without colours that the user did not leave out."""
    if motion.colour is not None or motion.coloured:
        return []
    return [f"written without colours: {why_grey(motion)}"]


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
        The written files and folders (`outputs.Outputs.paths`).

    Raises:
        UsageError: `out` cannot be written, holds other files, or a bake with other settings.
        InputError: the avatar has no texture network, or the motion moves a vertex out of bounds.
        MissingDependencyError: colours need onnxruntime, which is not installed.
    """
    motion = with_neutral_colours(motion)
    outputs = Outputs(Path(out).absolute(), motion, rows)
    settings = {
        "version": imavatar_deploy.__version__,
        "formats": [row.name for row in rows],
        **motion.identity(),
    }
    staging = open_journal(Path(out), settings, resume=resume, overwrite=overwrite)
    with writing(Path(out)):
        _bake(outputs, Staging(staging.folder.absolute()), executor or thread_executor(), progress)
    return Outputs(Path(out), motion, rows).paths()


def _bake(outputs: Outputs, staging: Staging, executor: FrameExecutor, progress: Progress) -> None:
    for row in outputs.per_frame():
        (outputs.out / row.name).mkdir(exist_ok=True)
    _write_licence(outputs.out / LICENCE, outputs.motion, staging)
    unwritten = outputs.unwritten()
    waiting = WaitingFrames(staging, outputs.stored_channels() if unwritten else ())
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
        row.whole(partial, outputs.motion, _count_frames(frames, advance))


def _count_frames(frames: Iterable[Channels], advance: Advance) -> Iterator[Channels]:
    for frame in frames:
        advance(1)
        yield frame


def _write_licence(path: Path, motion: Motion, staging: Staging) -> None:
    if not path.exists():
        with staging.whole(path) as partial:
            partial.write_text(licence_text(licence_of(motion.folder.manifest)), encoding="utf-8")


def _write_mesh(path: Path, motion: Motion, staging: Staging) -> None:
    """Write the neutral head, whose vertices a point cache moves."""
    channels = ("vertices", "normals", *(("colours",) if motion.coloured else ()))
    poser = FramePoser(motion, channels)
    neutral = poser.pose(NEUTRAL_EXPRESSION, REST_POSE, "the neutral head")
    with staging.whole(path) as partial:
        write_obj(partial, motion.avatar.faces, neutral, motion.synthetic_mark)
