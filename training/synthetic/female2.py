"""female2: black hair in a bun, dark skin, a red shirt."""

from __future__ import annotations

from dataclasses import replace

from ..looks import Haircut, Looks, Palette
from .person import Person

PALETTE = replace(
    Palette(),
    skin=(0.56, 0.37, 0.27),
    blush=(0.55, 0.28, 0.21),
    lips=(0.56, 0.24, 0.25),
    lid=(0.44, 0.26, 0.20),
    hair_dark=(0.05, 0.04, 0.04),
    hair_light=(0.20, 0.15, 0.13),
    brow=(0.08, 0.05, 0.04),
    lash=(0.05, 0.03, 0.03),
    shirt=(0.62, 0.15, 0.17),
    seam=(0.47, 0.10, 0.12),
    iris=(0.30, 0.17, 0.09),
    iris_rim=(0.09, 0.05, 0.03),
    iris_core=(0.40, 0.24, 0.12),
    brow_width=0.014,
)

PERSON = Person(
    name="female2",
    description="black hair in a bun, dark skin, brown eyes, red shirt",
    identity_seed=14,
    identity_strength=1.1,
    looks=Looks(PALETTE, Haircut(base=0.016, top=0.020, front=0.006, relief=0.006, parting=0.0, receding=3.0)),
    manner_seed=202,
    accents={"mouthSmileRight": 1.12, "mouthPucker": 1.1},
    pieces=("bun",),
)
