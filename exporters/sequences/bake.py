"""bake_take: every frame of a take into files of any formats, on all cores, and on again after any interruption."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import imavatar_deploy
from imavatar_deploy.console import Advance
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.drawing.workers import MOST, available_cores
from imavatar_deploy.errors import UsageError
from imavatar_deploy.progress import Progress, silent

from .format import SequenceFormat
from .journal import open_journal, writing
from .obj import write_obj
from .outputs import Outputs
from .posing import Channels, FramePoser
from .staging import Staging, WaitingFrames
from .take import Take


def bake_take(
    take: Take,
    out: str | Path,
    rows: Sequence[SequenceFormat],
    *,
    jobs: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> list[Path]:
    """Bake a take into the folder `out`; gives what was written, see `outputs.Outputs`.

    Threads share the frames: what takes long (posing, colouring, formatting) holds no interpreter's lock. Memory holds
    one frame a thread, however long the take is; frames of formats with one file wait on the disk.

    Args:
        rows: of `formats.FORMATS`.
        jobs: threads; as many as there are cores when None. The bytes do not depend on it.
        resume: go on with a bake that was interrupted, or begin one.
        overwrite: replace the bake that is there.

    Raises:
        UsageError: `out` cannot be written, is in the way, or was begun with other settings.
        InputError: the avatar has no texture network, or the motion throws a vertex out of all bounds.
        MissingDependencyError: colours need onnxruntime, and it is not there.
    """
    threads = available_cores() if jobs is None else jobs
    if not 1 <= threads <= MOST:
        raise UsageError(f"--jobs must be between 1 and {MOST}, got {jobs}")
    outputs = Outputs(Path(out), take, rows)
    settings = {
        "version": imavatar_deploy.__version__,
        "formats": [row.name for row in rows],
        **take.identity(),
    }
    staging = open_journal(outputs.out, settings, resume=resume, overwrite=overwrite)
    with writing(outputs.out):
        _bake(outputs, staging, threads, progress)
    return outputs.written()


def _bake(outputs: Outputs, staging: Staging, threads: int, progress: Progress) -> None:
    for row in outputs.per_frame():
        (outputs.out / row.name).mkdir(exist_ok=True)
    unwritten = outputs.unwritten()
    waiting = WaitingFrames(staging, outputs.channels(outputs.whole()) if unwritten else ())
    missing = outputs.missing(staging.folder if waiting.channels else None)
    _bake_frames(outputs, staging, waiting, missing, threads, progress)
    if outputs.mesh and not outputs.mesh.exists():
        _write_mesh(outputs.mesh, outputs.take, staging)
    for row in unwritten:
        _assemble(row, outputs, waiting, progress)
    staging.remove()


def _bake_frames(
    outputs: Outputs, staging: Staging, waiting: WaitingFrames, missing: list[int], threads: int, progress: Progress
) -> None:
    with progress("baking frames", len(outputs.take)) as advance:
        advance(len(outputs.take) - len(missing))
        if missing:
            _Crew(outputs, staging, waiting, missing, advance).work(min(threads, len(missing)))


class _Crew:
    """Threads that take frame after frame until none is left or one of them fails."""

    def __init__(
        self, outputs: Outputs, staging: Staging, waiting: WaitingFrames, missing: list[int], advance: Advance
    ) -> None:
        self._outputs, self._staging, self._waiting, self._advance = outputs, staging, waiting, advance
        self._channels = outputs.channels([*outputs.per_frame(), *(outputs.whole() if waiting.channels else ())])
        self._frames = iter(missing)
        self._lock, self._stop = threading.Lock(), threading.Event()

    def work(self, threads: int) -> None:
        """Do it all."""
        with ThreadPoolExecutor(threads, "bake") as pool:
            try:
                for done in [pool.submit(self._take_frames) for _ in range(threads)]:
                    done.result()
            finally:
                self._stop.set()

    def _take_frames(self) -> None:
        try:
            poser = FramePoser(self._outputs.take, self._channels)
            while not self._stop.is_set() and (index := self._next()) is not None:
                self._bake(index, poser)
                self._advance(1)
        except BaseException:
            self._stop.set()
            raise

    def _next(self) -> int | None:
        with self._lock:
            return next(self._frames, None)

    def _bake(self, index: int, poser: FramePoser) -> None:
        frame = poser(index)
        for row in self._outputs.per_frame():
            assert row.per_frame is not None
            with self._staging.whole(self._outputs.frame(row, index)) as partial:
                wanted = self._outputs.channels([row])
                row.per_frame(partial, self._outputs.take, {channel: frame[channel] for channel in wanted})
        if self._waiting.channels:
            self._waiting.store(index, frame)


def _assemble(row: SequenceFormat, outputs: Outputs, waiting: WaitingFrames, progress: Progress) -> None:
    """Put the frames that wait into the one file of a format."""
    assert row.whole is not None
    target = outputs.file(row)
    with progress(f"writing {target.name}", len(outputs.take)) as advance, waiting.staging.whole(target) as partial:
        frames = waiting.in_order(len(outputs.take))
        row.whole(partial, outputs.take, (_told(frame, advance) for frame in frames))


def _told(frame: Channels, advance: Advance) -> Channels:
    advance(1)
    return frame


def _write_mesh(path: Path, take: Take, staging: Staging) -> None:
    """The neutral head, whose vertices a point cache moves."""
    neutral = np.zeros(EXPRESSION_SIZE, dtype=np.float32), np.zeros(POSE_SIZE, dtype=np.float32)
    channels = FramePoser(take, ("vertices", "normals")).pose(*neutral, "the neutral head")
    with staging.whole(path) as partial:
        write_obj(partial, take.avatar.faces, channels)
