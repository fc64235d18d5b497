"""RunFolder: the files of a training run, each written whole.

config.toml      every setting, explained
checkpoint/      the model, as `imavatar-export` reads it
state.pt         all that going on needs: model, optimisers, inputs, clock
losses.jsonl     the loss terms of every step
validation.jsonl the quality of validation frames
validation/      rendered beside ground truth
warm_start/      what the warm start has reached, while it runs
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
from numpy.typing import NDArray

from imavatar_deploy.atomic import atomic_file, refuse_standard_output
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.model.checkpoint import save_checkpoint
from imavatar_deploy.model.head_avatar import HeadAvatarModel

from .config_file import read_config, to_toml
from .settings import TrainSettings

CONFIG = "config.toml"


class RunFolder:
    """Paths and files of one run."""

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
        """Make the folder, with its configuration.

        Raises:
            UsageError: something is there already.
        """
        refuse_standard_output(self.path)
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            self._clear(overwrite)
        self.path.resolve().mkdir(parents=True, exist_ok=True)  # which a link may lead to
        with atomic_file(self.config) as partial:
            partial.write_text(to_toml(settings), encoding="utf-8")

    def _clear(self, overwrite: bool) -> None:
        if not self.config.is_file():
            raise UsageError(
                f"{self.path} is there and holds no run of ours (no {CONFIG}); choose another name"
            )
        if not overwrite:
            raise UsageError(
                f"{self.path} holds a run already; go on with it by --resume, or pass --overwrite"
            )
        shutil.rmtree(self.path.resolve())

    def settings(self) -> TrainSettings:
        """What the run was started with.

        Raises:
            InputError: there is no run here, or its configuration is unreadable.
        """
        if not self.config.is_file():
            raise InputError(
                f"{self.path} holds no run to resume (no {CONFIG}); start one without --resume"
            )
        return read_config(self.config, TrainSettings())

    def save(self, model: HeadAvatarModel, state: dict[str, Any]) -> None:
        """Keep the model and the state, each whole or not at all."""
        save_checkpoint(model, self.checkpoint, overwrite=True)
        with atomic_file(self.state) as partial:
            torch.save(state, partial)

    def load(self) -> dict[str, Any] | None:
        """The kept state, or None when the run ended before there was one.

        Raises:
            InputError: the file is damaged.
        """
        if not self.state.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.state, weights_only=True, map_location="cpu")
        except Exception as error:  # torch raises whatever its unpickler stumbles over
            raise InputError(
                f"{self.state} cannot be read ({error}); begin anew, --from {self.checkpoint}"
            ) from error
        return state

    def validations(self) -> list[dict[str, Any]]:
        """The rows of `validation.jsonl`: step, minutes, qualities, and warnings if there are any."""
        if not self.qualities.exists():
            return []
        lines = self.qualities.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def forget_after(self, step: int) -> None:
        """Drop what was noted of steps that will be made again."""
        for path in (self.losses, self.qualities):
            if path.exists():
                lines = path.read_text(encoding="utf-8").splitlines()
                kept = [
                    line
                    for line in lines
                    if line.endswith("}") and json.loads(line)["step"] <= step
                ]
                with atomic_file(path) as partial:
                    partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def write_image(self, name: str, picture: NDArray[np.floating[Any]]) -> Path:
        """A PNG `[H, W, 3]` of 0..1 among the validation images."""
        self.validation.mkdir(exist_ok=True)
        path = self.validation / f"{name}.png"
        with atomic_file(path) as partial:
            pixels = np.round(255.0 * np.clip(picture, 0.0, 1.0)).astype(np.uint8)
            cv2.imwrite(str(partial), pixels[..., ::-1])
        return path
