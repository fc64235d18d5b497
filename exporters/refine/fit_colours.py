"""Fit of a student's features and weights to pictures, the geometry fixed."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Bool, Int64

from .raster_frames import RasterFrames
from .refinable_student import WEIGHTS, RefinableStudent

BATCH = 6
"""Frames a step."""

PIXELS = 4096
"""Pixels of a frame in a step, two thirds of which are neighbours of the other third."""

REGION_SHARE = 0.25
"""Share of the pixels that are drawn from the mouth and the eyes, which have few."""

FEATURE_RATE = 2e-2
"""Adam's initial learning rate of the features; it falls to zero as a cosine."""

WEIGHT_RATE = 3e-3
"""Adam's initial learning rate of the weights."""

BETAS = (0.9, 0.99)

CONDITION_NOISE = 0.1
"""Standard deviation of the noise on the condition, in every other step.

Without it the weights tell single frames apart by their expressions and fit each by heart.
"""

GRADIENT_WEIGHT = 0.5
"""Weight of the differences between neighbouring pixels, which sharpen edges."""

PULL = 1e-3
"""Weight of the pull of the features to their start; it holds those that no frame shows."""

HELD_POINTS = 1024
"""Held vertices whose colours are compared with their start in a step."""

HELD_WEIGHT = 1.0
"""Weight of the change of their colours, which the weights would change although features stay."""

SOFTNESS = 0.005
"""Difference of colours below which the loss is quadratic; a step of eight bits is 0.004."""


@dataclass(frozen=True)
class FitOptions:
    """Weights and rates of a fit; the defaults are this module's constants."""

    feature_rate: float = FEATURE_RATE
    weight_rate: float = WEIGHT_RATE
    condition_noise: float = CONDITION_NOISE
    gradient_weight: float = GRADIENT_WEIGHT
    pull: float = PULL
    region_share: float = REGION_SHARE
    pixels: int = PIXELS


class ColourFit:
    """Optimises a student step by step. The learning rate falls to zero at the last step.

    Args:
        student: is changed in place.
        steps: number of steps.
        seed: of the random choices.
        held: vertices whose features stay at their start, and whose colours are kept near it; none
            by default.
    """

    def __init__(
        self,
        student: RefinableStudent,
        steps: int,
        seed: int,
        options: FitOptions | None = None,
        held: Bool[Array, " V"] | None = None,
    ) -> None:
        self._student = student
        self._held = np.zeros(0, np.int64) if held is None else np.flatnonzero(held)
        self._distilled = copy.deepcopy(student)
        self._options = options or FitOptions()
        self._generator = np.random.default_rng(seed)
        self._noise = torch.Generator().manual_seed(seed)
        groups = [
            {"params": [student.features], "lr": self._options.feature_rate},
            {
                "params": [getattr(student, name) for name in WEIGHTS],
                "lr": self._options.weight_rate,
            },
        ]
        self._adam = torch.optim.Adam(groups, betas=BETAS)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._adam, lambda step: (1 + math.cos(math.pi * min(step / steps, 1))) / 2
        )
        self._count = 0

    def step(self, frames: RasterFrames) -> None:
        """Take one step on some pixels of some frames."""
        selected = self._generator.choice(len(frames), BATCH, replace=len(frames) < BATCH)
        rows = np.concatenate([self._pixels(frames, int(t)) for t in selected])
        batch = frames.batch(rows, np.repeat(selected, len(rows) // BATCH))
        condition = torch.from_numpy(frames.condition[selected])
        if self._count % 2:
            noise = torch.randn(condition.shape, generator=self._noise)
            condition = condition + self._options.condition_noise * noise
        constant = self._student.constant(condition)
        colours = self._student(batch, constant.repeat_interleave(len(rows) // BATCH, 0))
        loss = self._loss(colours - batch.colours)
        if len(self._held):
            loss = loss + HELD_WEIGHT * self._change_of_held(frames, int(selected[0]))
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        gradient = self._student.features.grad
        if gradient is not None:
            gradient[self._held] = 0.0
        self._adam.step()
        self._schedule.step()
        self._count += 1

    def _pixels(self, frames: RasterFrames, t: int) -> Int64[Array, " N"]:
        """Rows of random pixels of a frame, then those to their right, then those below."""
        count = self._options.pixels // 3
        rows = self._generator.integers(frames.first[t], frames.first[t + 1], count)
        special = frames.special[t]
        if len(special):
            some = int(self._options.region_share * count)
            rows[:some] = special[self._generator.integers(0, len(special), some)]
        return np.concatenate([rows, frames.right[rows], frames.below[rows]])

    def _change_of_held(self, frames: RasterFrames, t: int) -> Tensor:
        """Robust L1 between the colours of some held vertices now and at the start, in a frame."""
        rows = self._held[self._generator.integers(0, len(self._held), HELD_POINTS)]
        pixels = frames.vertices(rows, t)
        condition = torch.from_numpy(frames.condition[t : t + 1])
        noise = torch.randn(condition.shape, generator=self._noise)
        condition = condition + self._options.condition_noise * noise
        with torch.no_grad():
            start = self._distilled(pixels, self._distilled.constant(condition))
        return _robust(self._student(pixels, self._student.constant(condition)) - start)

    def _loss(self, difference: Tensor) -> Tensor:
        """Robust L1 of colours and of their differences, and the pull of the features."""
        pixel, right, below = difference.reshape(BATCH, 3, -1, 3).unbind(1)
        slopes = _robust(right - pixel) + _robust(below - pixel)
        pull = (self._student.features - self._distilled.features.detach()).square().mean()
        return (
            _robust(difference)
            + self._options.gradient_weight * slopes
            + (self._options.pull * pull)
        )


def _robust(difference: Tensor) -> Tensor:
    """Mean of a smooth absolute value."""
    return (difference.square() + SOFTNESS**2).sqrt().mean() - SOFTNESS
