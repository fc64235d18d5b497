"""The optimisation loop of every fit: Muon and Adam, warm-up, cosine decay, resumable snapshots."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..muon import Muon, is_hidden_matrix

Losses = dict[str, Tensor]
Report = Callable[[str, int, int, dict[str, float]], None]
"""Called with the name of the fit, the number of steps done and of all steps, and the losses."""

WARM_UP = 0.02
"""Share of the steps over which the learning rate rises."""
FINAL_RATE = 0.01
"""Learning rate at the end, relative to its peak."""


@dataclass(frozen=True)
class NetworkFit:
    """One optimisation: a module, its losses and its learning rates."""

    name: str
    module: nn.Module
    losses: Callable[[np.random.Generator], Losses]
    """Draws a batch with a generator and returns the weighted loss terms."""
    steps: int
    learning_rate: float
    """Of Adam."""
    matrix_rate: float
    """Of Muon, which optimises the hidden matrices; zero leaves all parameters to Adam."""
    seed: int


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to `FINAL_RATE`."""
    rising = (step + 1) / max(1.0, WARM_UP * steps)
    falling = FINAL_RATE + (1.0 - FINAL_RATE) * 0.5 * (1.0 + math.cos(math.pi * step / steps))
    return min(rising, falling)


def optimise(
    fit: NetworkFit,
    report: Report | None = None,
    snapshot: Path | None = None,
    snapshot_seconds: float = 240.0,
) -> None:
    """Run a fit to its end, from its snapshot if there is one.

    The result does not depend on interruptions.

    Args:
        report: called after every step.
        snapshot: file for the state; it is replaced atomically and stays when the fit is done.
        snapshot_seconds: interval between snapshots, the most work that an interruption loses.
    """
    optimisers = _optimisers(fit)
    start = _resume(fit, optimisers, snapshot) if snapshot else 0
    saved = time.monotonic()
    for step in range(start, fit.steps):
        losses = _step(fit, optimisers, step)
        if report:
            report(fit.name, step + 1, fit.steps, losses)
        if snapshot and (step + 1 == fit.steps or time.monotonic() - saved > snapshot_seconds):
            _save(fit, optimisers, snapshot, step + 1)
            saved = time.monotonic()


def _optimisers(fit: NetworkFit) -> list[torch.optim.Optimizer]:
    parameters = list(fit.module.parameters())
    matrices = [p for p in parameters if fit.matrix_rate > 0 and is_hidden_matrix(p)]
    others = [p for p in parameters if not any(p is matrix for matrix in matrices)]
    adam = torch.optim.Adam(others, lr=fit.learning_rate)
    return [adam, Muon(matrices, lr=fit.matrix_rate)] if matrices else [adam]


def _step(fit: NetworkFit, optimisers: list[torch.optim.Optimizer], step: int) -> dict[str, float]:
    # A generator per step, not per run: a resumed run draws the batches of an uninterrupted one.
    losses = fit.losses(np.random.default_rng((fit.seed, step)))
    fit.module.zero_grad()
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(fit.module.parameters(), 1.0)
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = optimiser.defaults["lr"] * learning_rate_factor(step, fit.steps)
        optimiser.step()
    return {name: float(loss.detach()) for name, loss in losses.items()}


def _save(fit: NetworkFit, optimisers: list[torch.optim.Optimizer], path: Path, step: int) -> None:
    states = [optimiser.state_dict() for optimiser in optimisers]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    torch.save({"step": step, "module": fit.module.state_dict(), "optimisers": states}, temporary)
    temporary.replace(path)


def _resume(fit: NetworkFit, optimisers: list[torch.optim.Optimizer], path: Path) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    fit.module.load_state_dict(state["module"])
    for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    return int(state["step"])
