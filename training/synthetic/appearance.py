"""Appearance of a synthetic person: colours and haircut.

The defaults are the haircut of female1 and a fair skin.
"""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Haircut:
    """Hair that is raised from the scalp; lengths in model units."""

    base: float = 0.020  # height everywhere above the hairline
    top: float = 0.040  # additional height on top of the head
    front: float = 0.022  # additional height over the forehead
    relief: float = 0.012  # height of the locks
    parting: float = 0.07  # position of the parting, towards the head's left
    receding: float = 0.0  # degrees by which the hairline lies higher over forehead and temples


@dataclass(frozen=True)
class Palette:
    """Unlit colours, RGB in 0..1."""

    skin: Colour = (0.90, 0.70, 0.58)
    blush: Colour = (0.86, 0.52, 0.44)
    lips: Colour = (0.80, 0.45, 0.42)
    hair_dark: Colour = (0.20, 0.11, 0.06)
    hair_light: Colour = (0.58, 0.36, 0.20)
    brow: Colour = (0.26, 0.16, 0.10)
    lash: Colour = (0.13, 0.08, 0.06)
    lid: Colour = (0.74, 0.52, 0.46)
    shirt: Colour = (0.16, 0.36, 0.46)
    seam: Colour = (0.11, 0.27, 0.36)
    iris: Colour = (0.30, 0.50, 0.50)
    iris_rim: Colour = (0.08, 0.16, 0.20)
    iris_core: Colour = (0.55, 0.50, 0.28)
    stubble: Colour = (0.30, 0.24, 0.21)
    beard: float = 0.0  # opacity, 0..1, of the stubble's colour on jaw and upper lip
    brow_width: float = 0.016  # model units


@dataclass(frozen=True)
class Appearance:
    """Colours and haircut of one person."""

    palette: Palette = Palette()
    haircut: Haircut = Haircut()


DEFAULT_APPEARANCE = Appearance()
