"""Measures: how alike two series of pictures are, as a few numbers, medians over the frames and the worst frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.image_quality import WINDOW, iou, normal_angle, psnr, ssim

from .picture import Picture

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]

WORST = "worst_"
"""Before the name of a measure: that of the worst frame instead of the median."""


class Measure(NamedTuple):
    """One row of the table of measures."""

    title: str
    unit: str
    falls: bool
    """Whether less is better."""
    of: Callable[[Picture, Picture, Mask], float]
    """(reference, candidate, mouth region) -> its value in one frame; NaN where there is nothing to measure."""
    chained: Callable[[Sequence[float]], float]
    """The limit of several hops together, from the limits of each."""


def _psnr(a: Picture, b: Picture, within: Mask) -> float:
    return psnr(a.rgb, b.rgb, within)


def _ssim(a: Picture, b: Picture, common: Mask) -> float:
    return ssim(a.rgb, b.rgb, common) if min(common.shape) >= WINDOW else float("nan")


def _angle(a: Picture, b: Picture, within: Mask) -> float:
    return float(np.median(normal_angle(a.normal, b.normal, within))) if within.any() else float("nan")


def _sum_of_errors(decibels: Sequence[float]) -> float:
    """Root mean squares add up at most."""
    return float(-20.0 * np.log10(sum(10.0 ** (-value / 20.0) for value in decibels)))


def _sum_of_losses(shares: Sequence[float]) -> float:
    return 1.0 - sum(1.0 - share for share in shares)


MEASURES: dict[str, Measure] = {
    "psnr": Measure("PSNR", "dB", False, lambda a, b, mouth: _psnr(a, b, a.mask & b.mask), _sum_of_errors),
    "ssim": Measure("SSIM", "", False, lambda a, b, mouth: _ssim(a, b, a.mask & b.mask), _sum_of_losses),
    "iou": Measure("mask IoU", "", False, lambda a, b, mouth: iou(a.mask, b.mask), _sum_of_losses),
    "normal_angle": Measure("normals", "°", True, lambda a, b, mouth: _angle(a, b, a.mask & b.mask), sum),
    "mouth_psnr": Measure("mouth PSNR", "dB", False, lambda a, b, mouth: _psnr(a, b, mouth & b.mask), _sum_of_errors),
    "mouth_normal_angle": Measure("mouth normals", "°", True, lambda a, b, mouth: _angle(a, b, mouth & b.mask), sum),
}
"""Within the pixels that both pictures show; those of the mouth, within its region alone."""

NAMES = tuple(prefix + name for name in MEASURES for prefix in ("", WORST))
"""Everything that can be measured and limited."""


def row_of(name: str) -> Measure:
    """The row that a name, with or without `WORST`, belongs to."""
    return MEASURES[name.removeprefix(WORST)]


def measure_frames(
    reference: Sequence[Picture],
    candidate: Sequence[Picture],
    mouths: Sequence[Mask],
) -> dict[str, Values]:
    """`[T]` every row of `MEASURES` in each frame; NaN where a frame shows nothing of it."""
    frames = list(zip(reference, candidate, mouths, strict=True))
    values = {name: [row.of(*frame) for frame in frames] for name, row in MEASURES.items()}
    return {name: np.array(row, dtype=np.float64) for name, row in values.items()}


def summary(of_frames: Mapping[str, Values]) -> dict[str, float]:
    """Every measure of `NAMES` by name, but those of which no frame shows anything."""
    measures: dict[str, float] = {}
    for name, values in of_frames.items():
        if (shown := values[~np.isnan(values)]).size:
            measures[name] = float(np.median(shown))
            measures[WORST + name] = float(shown.max() if row_of(name).falls else shown.min())
    return measures


def measure(
    reference: Sequence[Picture],
    candidate: Sequence[Picture],
    mouths: Sequence[Mask],
) -> dict[str, float]:
    """The `summary` of all frames."""
    return summary(measure_frames(reference, candidate, mouths))


def worst_first(name: str, of_frames: Mapping[str, Values]) -> list[int]:
    """The frames in which a measure has a value, the worst first.

    Args:
        name: of `NAMES`.
    """
    values = of_frames[name.removeprefix(WORST)]
    order = np.argsort(-values if row_of(name).falls else values, kind="stable")
    return [int(frame) for frame in order if not np.isnan(values[frame])]


def chained(limits: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What hops may lose together; one that is silent about a measure is taken to lose nothing of it."""
    names = {name: [one[name] for one in limits if name in one] for name in NAMES}
    return {name: row_of(name).chained(values) for name, values in names.items() if values}
