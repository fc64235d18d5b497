"""The table of takes that are made of every synthetic subject: train, train+ and test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import motions

Float = NDArray[np.float32]

DECIMALS = 5
"""Digits of the codes, fewer than the track file keeps: what is drawn is what is written."""


@dataclass(frozen=True)
class TakeSet:
    """One kind of take: its motion and its usual length."""

    name: str
    description: str
    frames: int
    perform: motions.Take
    stream: int
    """Of the seed: training takes share one, so that train+ begins with train."""

    def motion(self, frames: int, seed: int, names: tuple[str, ...]) -> tuple[Float, Float, float]:
        """Expression `[T, 50]`, pose `[T, 15]` and frames per second."""
        take = self.perform(frames, np.random.default_rng([seed, self.stream]), names)
        expression = np.clip(np.column_stack([take.expression[name] for name in names]), 0.0, 1.0)
        apart = take.seconds[1] - take.seconds[0] if frames > 1 else motions.SECONDS
        return _rounded(expression), _rounded(take.pose), round(1.0 / float(apart), 3)


def _rounded(codes: motions.Curve) -> Float:
    return np.round(codes, DECIMALS).astype(np.float32)


SETS: dict[str, TakeSet] = {
    row.name: row
    for row in (
        TakeSet("train", "head rotation and mild speech", 150, motions.train, 0),
        TakeSet(
            "train+", "train and 30 % more frames with more expression", 195, motions.train_plus, 0
        ),
        TakeSet("test", "strong expressions that no training take shows", 40, motions.test, 1),
    )
}
"""Every known take by name."""
