"""`train`: train a head avatar on a dataset, in one process or several (Lightning Fabric)."""

from __future__ import annotations

import gc
import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from imavatar_deploy.atomic import ensure_not_input
from imavatar_deploy.dataset import FaceDataset
from imavatar_deploy.dataset.face_dataset import as_dataset
from imavatar_deploy.errors import MissingDependencyError, UsageError
from imavatar_deploy.optional import require
from imavatar_deploy.progress import Progress, Say, quiet, silent

from .presets import as_settings
from .run_folder import RunFolder
from .settings import TrainSettings
from .trainer import Trainer

DEVICES = ("auto", "cpu", "cuda", "cuda:N", "mps")
"""Values of `--device`."""


# Devices and processes


def make_fabric(device: str = "auto") -> Any:
    """Create and launch the Lightning Fabric of this process.

    Under `torchrun` or `fabric run` the process joins the others of the run; otherwise it trains
    alone.

    Raises:
        UsageError: `device` is not a known device.
        MissingDependencyError: Fabric is not installed, or the device is not available.
    """
    lightning = require("lightning_fabric", extra="train")
    accelerator, devices = _choose(device)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if "LT_CLI_USED" in os.environ:  # `fabric run` sets the environment and launches by itself
        averaging = world > 1 and "LT_STRATEGY" not in os.environ
        return lightning.Fabric(strategy=_averaging() if averaging else "auto")
    if world > 1:
        fabric = lightning.Fabric(
            accelerator=accelerator,
            strategy=_averaging(),
            devices=local,
            num_nodes=max(1, world // local),
        )
    else:
        fabric = lightning.Fabric(accelerator=accelerator, devices=devices)
    fabric.launch()
    return fabric


@contextmanager
def launch_fabric(device: str = "auto") -> Iterator[Any]:
    """The Fabric of this process; when the context ends, the process leaves its group.

    Use what `fabric.setup` wraps in a function that the body calls, so that it is released before
    the context ends. A wrapped module's reducer owns the process group. If the reducer is released
    last, it destroys the group with the interpreter's lock held and waits for Gloo's threads, which
    wait for that lock to free the tensors of finished work.

    Raises:
        UsageError: `device` is not a known device.
        MissingDependencyError: Fabric is not installed, or the device is not available.
    """
    fabric = make_fabric(device)
    try:
        yield fabric
        fabric.barrier()  # a process that exits early closes the sockets that the others use
    except BaseException as error:
        if _in_group():
            _clear_frames(error)
        raise
    finally:
        if _in_group():
            gc.collect()  # the wrapped module is part of reference cycles
            require("torch.distributed", extra="train").destroy_process_group()


def _in_group() -> bool:
    distributed = require("torch.distributed", extra="train")
    return bool(distributed.is_available() and distributed.is_initialized())


def _clear_frames(error: BaseException | None) -> None:
    """Drop the local variables that the tracebacks of an exception and its causes keep alive."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _averaging() -> Any:
    strategies = require("lightning_fabric.strategies", extra="train")
    # Every process has the same buffers, and every step uses every parameter.
    return strategies.DDPStrategy(broadcast_buffers=False)


def _choose(device: str) -> tuple[str, Any]:
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (
        number and (kind != "cuda" or not number.isdigit())
    ):
        raise UsageError(f"device (--device) must be one of {', '.join(DEVICES)}, got {device!r}")
    torch = require("torch", extra="train")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda" and not torch.cuda.is_available():
        raise MissingDependencyError(
            "torch sees no CUDA device here; train with device='cpu' (--device cpu)"
        )
    return kind, [int(number)] if number else 1


# Training


def train(
    dataset: FaceDataset | str | Path | Sequence[str | Path],
    out: str | Path,
    settings: TrainSettings | str,
    *,
    resume: bool = False,
    overwrite: bool = False,
    begin_from: Path | str | None = None,
    device: str = "auto",
    progress: Progress = silent,
    say: Say = quiet,
) -> Path:
    """Train a head avatar on a dataset; `out` becomes the folder of the run, see `RunFolder`.

    Args:
        dataset: frames of one subject, or the paths of its videos, see `FaceDataset.open`. The
            frames of paths have the size that the settings say.
        out: the folder to write.
        settings: settings of the run, such as `preset("tiny")`, or the name of a preset; their
            `size` is replaced by that of the dataset. When a run is resumed, pass the settings it
            was started with: only the length may differ.
        resume: continue the run in `out`, with the same result as without the interruption.
        overwrite: replace the run in `out`.
        begin_from: checkpoint with the initial weights, instead of a warm start.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        progress: receives the number of finished steps.
        say: receives lines about the run.

    Returns:
        The folder of the run: a checkpoint for `export_avatar` and a source for `evaluate`.

    Raises:
        UsageError: a name is unknown, an argument has another type, or `out` exists and is not to
            be resumed or overwritten.
        InputError: the run or the checkpoint cannot be read, or does not fit the dataset.
        QualityError: a loss is not finite, or the avatar has vanished; the last checkpoint is good.
        MissingDependencyError: a package or the device is not available.

    Example:
        >>> from imavatar_deploy.training import train
        >>> run = train("data/female1", "run", "tiny", say=print)
    """
    settings = as_settings(settings)
    dataset = as_dataset(dataset, settings.size)
    folder = RunFolder(Path(out))
    if overwrite:
        ensure_not_input(out, begin_from)
    with launch_fabric(device) as fabric:
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
    settings: TrainSettings,
    say: Say,
    *,
    resume: bool,
    overwrite: bool,
    begin_from: Path | str | None,
    progress: Progress,
) -> None:
    """Train in this process. The trainer and its wrapped module are released on return."""
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
