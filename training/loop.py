"""Training: from a dataset to a run's folder with a trained avatar; the room's public function."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from imavatar_deploy.atomic import ensure_not_input
from imavatar_deploy.progress import Progress, silent

from .dataset import FaceDataset
from .fabric import launched
from .journal import Say
from .run_folder import RunFolder
from .settings import Settings
from .trainer import Trainer


def train(
    dataset: FaceDataset,
    out: Path,
    settings: Settings,
    *,
    resume: bool = False,
    overwrite: bool = False,
    begin_from: Path | str | None = None,
    device: str = "auto",
    progress: Progress = silent,
    say: Say = lambda line: None,
) -> Path:
    """Train a head avatar on a dataset; `out` becomes the run's folder, which is returned (see `run_folder`).

    Args:
        settings: all that a run may choose; its size is the dataset's. With `resume` those of the run decide, but for
            how long it shall be.
        resume: go on with the run in `out`, as if it had never stopped.
        overwrite: throw away the run in `out`.
        begin_from: a checkpoint to take the first weights from, instead of a warm start.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        progress: shows how far it is.
        say: told of what happens, a line at a time.

    Raises:
        UsageError: a choice that does not exist, or a run in the way.
        InputError: a run or checkpoint that cannot be read.
        QualityError: a loss is not finite, or the avatar has vanished; the last checkpoint is good.
    """
    folder = RunFolder(Path(out))
    if overwrite:
        ensure_not_input(out, begin_from)
    with launched(device) as fabric:
        _train(
            fabric,
            dataset,
            folder,
            replace(settings, size=dataset.size),
            say,
            resume=resume,
            overwrite=overwrite,
            begin_from=begin_from,
            progress=progress,
        )
    return folder.path


def _train(
    fabric: Any,
    dataset: FaceDataset,
    folder: RunFolder,
    settings: Settings,
    say: Say,
    *,
    resume: bool,
    overwrite: bool,
    begin_from: Path | str | None,
    progress: Progress,
) -> None:
    """Train in this process; the trainer, and with it the wrapped module, is gone on return."""
    if fabric.is_global_zero and not resume:
        folder.begin(settings, overwrite=overwrite)
    fabric.barrier()
    trainer = Trainer(fabric, dataset, folder, settings, say)
    state = folder.load() if resume else None
    if state is not None:
        trainer.restore(state)
    else:
        trainer.begin(begin_from)
    trainer.run(progress)
