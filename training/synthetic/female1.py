"""female1: brown hair down to the neck, a blue shirt."""

from __future__ import annotations

from dataclasses import replace

from ..looks import Haircut, Looks, Palette
from .person import Person

PALETTE = replace(
    Palette(),
    lips=(0.78, 0.36, 0.37),
    hair_dark=(0.24, 0.11, 0.05),
    hair_light=(0.66, 0.38, 0.19),
    brow=(0.33, 0.20, 0.12),
    brow_width=0.0135,
)

PERSON = Person(
    name="female1",
    description="brown bob, fair skin, green eyes, blue shirt",
    identity_seed=6,
    identity_strength=0.8,
    looks=Looks(PALETTE, Haircut()),
    manner_seed=101,
    accents={"mouthSmileLeft": 1.1, "browInnerUp": 1.1},
    pieces=("bob",),
)
