"""male2: grey receding hair and glasses, a dark shirt."""

from __future__ import annotations

from dataclasses import replace

from ..looks import Haircut, Looks, Palette
from .person import Person

PALETTE = replace(
    Palette(),
    skin=(0.93, 0.74, 0.64),
    blush=(0.90, 0.55, 0.48),
    lips=(0.80, 0.52, 0.48),
    lid=(0.80, 0.58, 0.52),
    hair_dark=(0.42, 0.41, 0.41),
    hair_light=(0.80, 0.79, 0.77),
    brow=(0.45, 0.42, 0.39),
    lash=(0.25, 0.20, 0.18),
    shirt=(0.20, 0.20, 0.27),
    seam=(0.13, 0.13, 0.18),
    iris=(0.34, 0.46, 0.62),
    iris_rim=(0.12, 0.18, 0.30),
    iris_core=(0.46, 0.52, 0.56),
    brow_width=0.019,
)

PERSON = Person(
    name="male2",
    description="grey receding hair, glasses, blue eyes, dark shirt",
    identity_seed=33,
    identity_strength=1.1,
    looks=Looks(PALETTE, Haircut(base=0.014, top=0.022, front=0.012, relief=0.009, parting=-0.09, receding=15.0)),
    manner_seed=404,
    accents={"browDownLeft": 1.15, "mouthSmileRight": 0.85},
    pieces=("glasses",),
)
