"""female1: the bundled sample's person, with hair down to the neck."""

from __future__ import annotations

from dataclasses import replace

from ..looks import Haircut, Looks, Palette
from ..sample_subject import IDENTITY_SEED, IDENTITY_STRENGTH
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
    description="brown bob, fair skin, green eyes, blue shirt; the bundled sample's shape",
    identity_seed=IDENTITY_SEED,
    identity_strength=IDENTITY_STRENGTH,
    looks=Looks(PALETTE, Haircut()),
    manner_seed=101,
    accents={"mouthSmileLeft": 1.1, "browInnerUp": 1.1},
    pieces=("bob",),
)
