"""The table of synthetic subjects: identity, appearance, expressions and accessories of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from imavatar_deploy.arrays import Array, Float32

from .appearance import Appearance, Haircut, Palette

IDENTITY_SIZE = 30
"""Number of OpenHead's shape coefficients that describe identity; the others are zero."""


@dataclass(frozen=True)
class Person:
    """One row of the table of synthetic subjects.

    A tracker can recover `shape` alone; everything else is beyond the head model.
    """

    name: str
    description: str
    identity_seed: int
    identity_strength: float
    appearance: Appearance
    variation_seed: int
    """Seed of the asymmetry of the face and of the strength of each expression."""
    expression_factors: Mapping[str, float] = field(default_factory=dict)
    """Factors on single expressions, in addition to the random ones."""
    accessories: tuple[str, ...] = ()
    """Keys of `accessories.ACCESSORIES`."""

    @property
    def shape(self) -> Float32[Array, "30"]:
        """Shape coefficients of OpenHead."""
        normal = np.random.default_rng(self.identity_seed).normal(size=IDENTITY_SIZE)
        return np.asarray(self.identity_strength * normal, dtype=np.float32)


# female1

FEMALE1_PALETTE = replace(
    Palette(),
    lips=(0.78, 0.36, 0.37),
    hair_dark=(0.24, 0.11, 0.05),
    hair_light=(0.66, 0.38, 0.19),
    brow=(0.33, 0.20, 0.12),
    brow_width=0.0135,
)

FEMALE1 = Person(
    name="female1",
    description="brown bob, fair skin, green eyes, blue shirt",
    identity_seed=6,
    identity_strength=0.8,
    appearance=Appearance(FEMALE1_PALETTE, Haircut()),
    variation_seed=101,
    expression_factors={"mouthSmileLeft": 1.1, "browInnerUp": 1.1},
    accessories=("bob",),
)


# female2

FEMALE2_PALETTE = replace(
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

FEMALE2 = Person(
    name="female2",
    description="black hair in a bun, dark skin, brown eyes, red shirt",
    identity_seed=14,
    identity_strength=1.1,
    appearance=Appearance(
        FEMALE2_PALETTE,
        Haircut(base=0.016, top=0.020, front=0.006, relief=0.006, parting=0.0, receding=3.0),
    ),
    variation_seed=202,
    expression_factors={"mouthSmileRight": 1.12, "mouthPucker": 1.1},
    accessories=("bun",),
)


# male1

MALE1_PALETTE = replace(
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

MALE1 = Person(
    name="male1",
    description="cropped dark hair, a beard, brown eyes, green shirt",
    identity_seed=21,
    identity_strength=1.1,
    appearance=Appearance(
        MALE1_PALETTE,
        Haircut(base=0.009, top=0.014, front=0.006, relief=0.003, parting=0.0, receding=4.0),
    ),
    variation_seed=303,
    expression_factors={"mouthSmileLeft": 0.85, "mouthSmileRight": 1.1},
)


# male2

MALE2_PALETTE = replace(
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

MALE2 = Person(
    name="male2",
    description="grey receding hair, glasses, blue eyes, dark shirt",
    identity_seed=33,
    identity_strength=1.1,
    appearance=Appearance(
        MALE2_PALETTE,
        Haircut(base=0.014, top=0.022, front=0.012, relief=0.009, parting=-0.09, receding=15.0),
    ),
    variation_seed=404,
    expression_factors={"browDownLeft": 1.15, "mouthSmileRight": 0.85},
    accessories=("glasses",),
)

SUBJECTS: dict[str, Person] = {person.name: person for person in (FEMALE1, FEMALE2, MALE1, MALE2)}
"""Every subject by name."""
