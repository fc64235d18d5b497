"""Optimisers of a run: Adam or Muon for the networks, sparse Adam for inputs; learning rates."""

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

HALVING_START = 2.0 / 3.0
"""Share of the run after which the rate is halved: 40 of 60 epochs."""

FINAL_RATE = 0.01
"""Rate at the end of the cosine, relative to its peak."""

WARM_UP = 0.01
"""Share of the run over which the rate of the cosine rises from zero."""


def rate_factor(decay: str, progress: float) -> float:
    """Learning rate relative to its peak.

    Args:
        decay: `halved` or `cosine`, as in `Schedule.decay`.
        progress: share of the run that is done, 0 to 1.
    """
    if decay == "halved":
        return 0.5 if progress >= HALVING_START else 1.0
    falling = FINAL_RATE + (1.0 - FINAL_RATE) * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
    return min((progress + 1e-3) / WARM_UP, falling)


def shape_factor(schedule: Schedule, step: int) -> float:
    """Additional factor of the learning rate at `step`, for all networks except the texture's."""
    since = step - schedule.colours_first
    return min(1.0, max(0, since + 1) / schedule.shape_warm_up) if schedule.shape_warm_up else 1.0


def make_optimisers(
    model: HeadAvatarModel, inputs: FrameParameters, settings: OptimiserSettings
) -> list[torch.optim.Optimizer]:
    """Create the optimisers of a run.

    Returns:
        Adam, then Muon if `matrix_rate` is positive, then sparse Adam if any input is trained.
        Every parameter group stores its peak learning rate under `peak`.
    """
    shape = _shape_parameters(model)
    use_muon = settings.matrix_rate > 0.0

    def groups(matrices: bool, rate: float) -> list[Any]:
        texture = (
            p for p in model.texture.parameters() if (use_muon and is_hidden_matrix(p)) == matrices
        )
        others = (p for p in shape if (use_muon and is_hidden_matrix(p)) == matrices)
        return [_group(others, rate, shape=True), _group(texture, rate * settings.texture_factor)]

    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.Adam(groups(False, settings.learning_rate), betas=BETAS)
    ]
    if use_muon:
        optimisers.append(Muon(groups(True, settings.matrix_rate), lr=settings.matrix_rate))
    if inputs.trainable_parameters():
        optimisers.append(
            torch.optim.SparseAdam(
                [_group(inputs.trainable_parameters(), settings.input_rate)], betas=BETAS
            )
        )
    return optimisers


def _group(
    parameters: Iterable[nn.Parameter], peak: float, *, shape: bool = False
) -> dict[str, Any]:
    return {"params": list(parameters), "lr": peak, "peak": peak, "shape": shape}


def _shape_parameters(model: HeadAvatarModel) -> list[nn.Parameter]:
    texture = set(model.texture.parameters())
    return [parameter for parameter in model.parameters() if parameter not in texture]


def hold_shape(model: HeadAvatarModel) -> None:
    """Drop the gradients of all networks except the texture's.

    The optimisers then leave these networks and their momentum unchanged in this step.
    """
    for parameter in _shape_parameters(model):
        parameter.grad = None


def set_rates(
    optimisers: Iterable[torch.optim.Optimizer], factor: float, shape: float = 1.0
) -> None:
    """Set the learning rate of every parameter group, relative to its peak.

    Args:
        factor: learning rate relative to the peak, from `rate_factor`.
        shape: additional factor for all networks except the texture's, from `shape_factor`.
    """
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * factor * (shape if group.get("shape") else 1.0)
