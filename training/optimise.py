"""The optimisation loop of every fit: Adam, warm-up, cosine decay, snapshots to resume from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Losses = dict[str, Tensor]
Report = Callable[[str, int, int, dict[str, float]], None]
"""Called with the fit's name, the steps done, the steps in all, and the losses."""

WARM_UP = 0.02
"""Share of the steps over which the learning rate rises."""
FINAL_RATE = 0.01
"""Learning rate at the end, relative to its peak."""


@dataclass(frozen=True)
class Fit:
    """One optimisation: which module learns what from which batches."""

    name: str
    module: nn.Module
    losses: Callable[[np.random.Generator], Losses]
    """Draws a batch with the generator it is given and returns the loss terms, already weighted."""
    steps: int
    learning_rate: float
    seed: int


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to `FINAL_RATE`."""
    rising = (step + 1) / max(1.0, WARM_UP * steps)
    falling = FINAL_RATE + (1.0 - FINAL_RATE) * 0.5 * (1.0 + math.cos(math.pi * step / steps))
    return min(rising, falling)


def optimise(
    fit: Fit, report: Report | None = None, snapshot: Path | None = None, snapshot_seconds: float = 240.0
) -> None:
    """Run a fit to its end, from its snapshot if there is one; the result is the same with and without a break.

    Args:
        report: told the losses of every step.
        snapshot: file to keep the state in; written whole or not at all, left behind when done.
        snapshot_seconds: at most so much work is lost.
    """
    adam = torch.optim.Adam(fit.module.parameters(), lr=fit.learning_rate)
    start = _resume(fit, adam, snapshot) if snapshot else 0
    saved = time.monotonic()
    for step in range(start, fit.steps):
        losses = _step(fit, adam, step)
        if report:
            report(fit.name, step + 1, fit.steps, losses)
        if snapshot and (step + 1 == fit.steps or time.monotonic() - saved > snapshot_seconds):
            _save(fit, adam, snapshot, step + 1)
            saved = time.monotonic()


def _step(fit: Fit, adam: torch.optim.Adam, step: int) -> dict[str, float]:
    for group in adam.param_groups:
        group["lr"] = fit.learning_rate * learning_rate_factor(step, fit.steps)
    # A generator per step, not per run: a resumed run draws the batches an unbroken one would.
    losses = fit.losses(np.random.default_rng((fit.seed, step)))
    adam.zero_grad()
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(fit.module.parameters(), 1.0)
    adam.step()
    return {name: float(loss.detach()) for name, loss in losses.items()}


def _save(fit: Fit, adam: torch.optim.Adam, path: Path, step: int) -> None:
    state: dict[str, Any] = {"step": step, "module": fit.module.state_dict(), "adam": adam.state_dict()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    torch.save(state, temporary)
    temporary.replace(path)


def _resume(fit: Fit, adam: torch.optim.Adam, path: Path) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    fit.module.load_state_dict(state["module"])
    adam.load_state_dict(state["adam"])
    return int(state["step"])
