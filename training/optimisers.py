"""Optimisers of a run: Adam for the networks, Muon for their matrices where asked for, sparse Adam for inputs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from imavatar_deploy.model.head_avatar import HeadAvatarModel

from .frame_parameters import FrameParameters
from .muon import Muon, is_hidden_matrix
from .settings import OptimiserSettings, Schedule

BETAS = (0.9, 0.999)
HALVED_AFTER = 2.0 / 3.0
"""Share of the run: 40 of 60 epochs."""
FINAL_RATE = 0.01
"""What the cosine ends at."""
WARM_UP = 0.01
"""Share of the run over which the cosine's rate rises."""


def rate_factor(decay: str, progress: float) -> float:
    """Learning rate relative to its peak at `progress` in 0..1 of the run (see `settings.Schedule.decay`)."""
    if decay == "halved":
        return 0.5 if progress >= HALVED_AFTER else 1.0
    falling = FINAL_RATE + (1.0 - FINAL_RATE) * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
    return min((progress + 1e-3) / WARM_UP, falling)


def shape_factor(schedule: Schedule, step: int) -> float:
    """Further factor of the learning rate of all networks but the texture's at `step`."""
    since = step - schedule.colours_first
    return min(1.0, max(0, since + 1) / schedule.shape_warm_up) if schedule.shape_warm_up else 1.0


def make_optimisers(
    model: HeadAvatarModel, inputs: FrameParameters, settings: OptimiserSettings
) -> list[torch.optim.Optimizer]:
    """Adam first, then Muon if it has a rate, then sparse Adam if any input is trained; groups know their `peak`."""
    shape = _shape_parameters(model)
    matrix = settings.matrix_rate > 0.0

    def groups(wanted: bool, rate: float) -> list[Any]:
        texture = (
            p for p in model.texture.parameters() if (matrix and is_hidden_matrix(p)) == wanted
        )
        others = (p for p in shape if (matrix and is_hidden_matrix(p)) == wanted)
        return [_group(others, rate, shape=True), _group(texture, rate * settings.texture_factor)]

    made: list[torch.optim.Optimizer] = [
        torch.optim.Adam(groups(False, settings.learning_rate), betas=BETAS)
    ]
    if matrix:
        made.append(Muon(groups(True, settings.matrix_rate), lr=settings.matrix_rate))
    if inputs.trained():
        made.append(
            torch.optim.SparseAdam([_group(inputs.trained(), settings.input_rate)], betas=BETAS)
        )
    return made


def _group(
    parameters: Iterable[nn.Parameter], peak: float, *, shape: bool = False
) -> dict[str, Any]:
    return {"params": list(parameters), "lr": peak, "peak": peak, "shape": shape}


def _shape_parameters(model: HeadAvatarModel) -> list[nn.Parameter]:
    texture = set(model.texture.parameters())
    return [parameter for parameter in model.parameters() if parameter not in texture]


def hold_shape(model: HeadAvatarModel) -> None:
    """Forget the gradients of all networks but the texture's: no optimiser moves them, or remembers them, this step."""
    for parameter in _shape_parameters(model):
        parameter.grad = None


def set_rates(
    optimisers: Iterable[torch.optim.Optimizer], factor: float, shape: float = 1.0
) -> None:
    """Every group's learning rate, relative to its peak.

    Args:
        shape: further factor of all networks but the texture's (see `shape_factor`).
    """
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * factor * (shape if group.get("shape") else 1.0)
