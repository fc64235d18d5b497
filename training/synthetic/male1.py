"""male1: cropped dark hair and a beard, a green shirt."""

from __future__ import annotations

from dataclasses import replace

from ..looks import Haircut, Looks, Palette
from .person import Person

PALETTE = replace(
    Palette(),
    skin=(0.80, 0.58, 0.44),
    blush=(0.76, 0.44, 0.35),
    lips=(0.69, 0.40, 0.36),
    lid=(0.64, 0.43, 0.35),
    hair_dark=(0.07, 0.055, 0.05),
    hair_light=(0.25, 0.20, 0.17),
    brow=(0.11, 0.08, 0.07),
    lash=(0.07, 0.05, 0.05),
    shirt=(0.27, 0.38, 0.25),
    seam=(0.19, 0.28, 0.17),
    iris=(0.36, 0.24, 0.14),
    iris_rim=(0.12, 0.08, 0.05),
    iris_core=(0.48, 0.34, 0.18),
    stubble=(0.17, 0.13, 0.11),
    beard=0.85,
    brow_width=0.020,
)

PERSON = Person(
    name="male1",
    description="cropped dark hair, a beard, brown eyes, green shirt",
    identity_seed=21,
    identity_strength=1.1,
    looks=Looks(PALETTE, Haircut(base=0.009, top=0.014, front=0.006, relief=0.003, parting=0.0, receding=4.0)),
    manner_seed=303,
    accents={"mouthSmileLeft": 0.85, "mouthSmileRight": 1.1},
)
