"""The folder of a training run: its files, each written atomically.

config.toml      every setting, with an explanation
checkpoint/      the model, in the layout that `imavatar-export` reads
state.pt         the state to resume from: model, optimisers, inputs, clock
losses.jsonl     loss terms of every step
validation.jsonl quality of the validation frames
validation/      images: renders beside ground truth
warm_start/      intermediate state of the warm start, while it runs
tensorboard/     curves and images
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from imavatar_deploy.arrays import Array, Float
from imavatar_deploy.atomic import atomic_file, refuse_standard_output
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.marking import marked_png
from imavatar_deploy.model.checkpoint import save_checkpoint
from imavatar_deploy.model.head_avatar import HeadAvatarModel

from .config_file import read_config, to_toml
from .settings import TrainSettings

CONFIG = "config.toml"


class RunFolder:
    """Paths of a run's files, and methods that write and read them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / CONFIG
        self.checkpoint = path / "checkpoint"
        self.state = path / "state.pt"
        self.losses = path / "losses.jsonl"
        self.qualities = path / "validation.jsonl"
        self.validation = path / "validation"
        self.warm_start = path / "warm_start"
        self.tensorboard = path / "tensorboard"

    def begin(self, settings: TrainSettings, *, overwrite: bool = False) -> None:
        """Create the folder and write its configuration.

        Raises:
            UsageError: the path exists and is not an empty folder, or not a run to overwrite.
        """
        refuse_standard_output(self.path)
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            self._clear(overwrite)
        self.path.resolve().mkdir(parents=True, exist_ok=True)  # the path may be a link
        with atomic_file(self.config) as partial:
            partial.write_text(to_toml(settings), encoding="utf-8")

    def _clear(self, overwrite: bool) -> None:
        if not self.config.is_file():
            raise UsageError(
                f"{self.path} exists and is not a training run (no {CONFIG}); choose another name"
            )
        if not overwrite:
            raise UsageError(
                f"{self.path} already holds a run; pass resume=True (--resume) to continue it, or "
                "overwrite=True (--overwrite) to replace it"
            )
        shutil.rmtree(self.path.resolve())

    def settings(self) -> TrainSettings:
        """Read the settings that the run was started with.

        Raises:
            InputError: the folder holds no run, or its configuration cannot be read.
        """
        if not self.config.is_file():
            raise InputError(
                f"{self.path} holds no run to resume (no {CONFIG}); start one without resume=True "
                "(--resume)"
            )
        return read_config(self.config, TrainSettings())

    def save(self, model: HeadAvatarModel, state: dict[str, Any]) -> None:
        """Write the checkpoint and the state, each atomically."""
        save_checkpoint(model, self.checkpoint, overwrite=True)
        with atomic_file(self.state) as partial:
            torch.save(state, partial)

    def load(self) -> dict[str, Any] | None:
        """Read the state, or return None where the run ended before its first one.

        Raises:
            InputError: the file is damaged.
        """
        if not self.state.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.state, weights_only=True, map_location="cpu")
        except Exception as error:  # torch does not document what it raises
            raise InputError(
                f"{self.state} cannot be read ({error}); start a new run with begin_from (--from) "
                f"{self.checkpoint}"
            ) from error
        return state

    def validations(self) -> list[dict[str, Any]]:
        """Read the rows of `validation.jsonl`: step, minutes, qualities, lobe and any warnings."""
        if not self.qualities.exists():
            return []
        lines = self.qualities.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def truncate_logs(self, step: int) -> None:
        """Remove the rows of steps after `step`, and incomplete rows, from the logs."""
        for path in (self.losses, self.qualities):
            if path.exists():
                lines = path.read_text(encoding="utf-8").splitlines()
                rows = [
                    line
                    for line in lines
                    if line.endswith("}") and json.loads(line)["step"] <= step
                ]
                with atomic_file(path) as partial:
                    partial.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")

    def write_image(self, name: str, picture: Float[Array, "H W 3"]) -> Path:
        """Write an RGB image of values 0..1 as a marked PNG among the validation images."""
        self.validation.mkdir(exist_ok=True)
        path = self.validation / f"{name}.png"
        with atomic_file(path) as partial:
            pixels = np.round(255.0 * np.clip(picture, 0.0, 1.0)).astype(np.uint8)
            _, png = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))
            partial.write_bytes(marked_png(png.tobytes()))
        return path
