"""Person: one row of the table of synthetic subjects: a face, its looks, and how it moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..looks import Looks

Float = NDArray[np.float32]

IDENTITY_SIZE = 30
"""OpenHead's shape directions that are real identities; the others are zero."""


@dataclass(frozen=True)
class Person:
    """What makes a synthetic subject; a tracker would find `shape` and nothing else of it."""

    name: str
    description: str
    identity_seed: int
    identity_strength: float
    looks: Looks
    manner_seed: int
    """Draws the asymmetry of the face and how strongly each expression is shown."""
    accents: Mapping[str, float] = field(default_factory=dict)
    """Factors on single expressions, on top of what the seed draws."""
    pieces: tuple[str, ...] = ()
    """Rows of `pieces.PIECES` that the person wears."""

    @property
    def shape(self) -> Float:
        """[30] shape coefficients on OpenHead."""
        drawn = np.random.default_rng(self.identity_seed).normal(size=IDENTITY_SIZE)
        return np.asarray(self.identity_strength * drawn, dtype=np.float32)
