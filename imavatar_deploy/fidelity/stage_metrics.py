"""Measures: how alike two series of pictures are, as a few numbers, medians over the frames and the worst frame."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError, UsageError, unknown_name

from .image_metrics import WINDOW, iou, normal_angle, psnr, ssim

# Picture: what is compared, colours, normals and mask of one frame.


Float = NDArray[np.float32]

BACKGROUND = 1.0
"""Grey value of pixels that show nothing."""


class FrameImages(NamedTuple):
    """One frame, by whatever drew it."""

    rgb: Float  # [H, W, 3] in 0..1, the background white
    normal: Float  # [H, W, 3] unit, model space; anything where the mask is false
    mask: NDArray[np.bool_]  # [H, W] whether the pixel shows the avatar


def shown(rgb: NDArray[Any], normal: NDArray[Any], mask: NDArray[np.bool_]) -> FrameImages:
    """A picture of its own memory, its background made white."""
    colours = np.where(mask[..., None], rgb, BACKGROUND).astype(np.float32)
    return FrameImages(colours, np.array(normal, dtype=np.float32), np.array(mask))


Mask = NDArray[np.bool_]

Values = NDArray[np.float64]

WORST = "worst_"
"""Before the name of a measure: that of the worst frame instead of the median."""


class StageMetric(NamedTuple):
    """One row of the table of measures."""

    title: str
    unit: str
    falls: bool
    """Whether less is better."""
    of: Callable[[FrameImages, FrameImages, Mask], float]
    """(reference, candidate, mouth region) -> its value in one frame; NaN where there is nothing to measure."""
    chained: Callable[[Sequence[float]], float]
    """The limit of several hops together, from the limits of each."""


def _psnr(a: FrameImages, b: FrameImages, within: Mask) -> float:
    return psnr(a.rgb, b.rgb, within)


def _ssim(a: FrameImages, b: FrameImages, common: Mask) -> float:
    return ssim(a.rgb, b.rgb, common) if min(common.shape) >= WINDOW else float("nan")


def _angle(a: FrameImages, b: FrameImages, within: Mask) -> float:
    return (
        float(np.median(normal_angle(a.normal, b.normal, within))) if within.any() else float("nan")
    )


def _sum_of_errors(decibels: Sequence[float]) -> float:
    """Root mean squares add up at most."""
    return float(-20.0 * np.log10(sum(10.0 ** (-value / 20.0) for value in decibels)))


def _sum_of_losses(shares: Sequence[float]) -> float:
    return 1.0 - sum(1.0 - share for share in shares)


MEASURES: dict[str, StageMetric] = {
    "psnr": StageMetric(
        "PSNR", "dB", False, lambda a, b, mouth: _psnr(a, b, a.mask & b.mask), _sum_of_errors
    ),
    "ssim": StageMetric(
        "SSIM", "", False, lambda a, b, mouth: _ssim(a, b, a.mask & b.mask), _sum_of_losses
    ),
    "iou": StageMetric(
        "mask IoU", "", False, lambda a, b, mouth: iou(a.mask, b.mask), _sum_of_losses
    ),
    "normal_angle": StageMetric(
        "normals", "°", True, lambda a, b, mouth: _angle(a, b, a.mask & b.mask), sum
    ),
    "mouth_psnr": StageMetric(
        "mouth PSNR", "dB", False, lambda a, b, mouth: _psnr(a, b, mouth & b.mask), _sum_of_errors
    ),
    "mouth_normal_angle": StageMetric(
        "mouth normals", "°", True, lambda a, b, mouth: _angle(a, b, mouth & b.mask), sum
    ),
}
"""Within the pixels that both pictures show; those of the mouth, within its region alone."""

NAMES = tuple(prefix + name for name in MEASURES for prefix in ("", WORST))
"""Everything that can be measured and limited."""


def row_of(name: str) -> StageMetric:
    """The row that a name, with or without `WORST`, belongs to."""
    return MEASURES[name.removeprefix(WORST)]


def measure_frames(
    reference: Sequence[FrameImages],
    candidate: Sequence[FrameImages],
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
    reference: Sequence[FrameImages],
    candidate: Sequence[FrameImages],
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


# Tolerances: hop -> measure -> limit, checked, and their place in an avatar folder.


FILE = "golden/tolerances.json"
"""Its place in an avatar folder, so that it is judged by the same anywhere."""

STAGE_NAMES = ("baked", "onnx", "tensorrt", "student")
"""The hops that can be limited, in order."""

Tolerances = Mapping[str, Mapping[str, float]]


def checked(given: Mapping[str, Any], source: str) -> dict[str, dict[str, float]]:
    """Limits of some hops, each of some measures.

    Raises:
        UsageError: a hop or a measure that does not exist, or a limit that is no number.
    """
    for hop, limits in given.items():
        if hop not in STAGE_NAMES:
            raise unknown_name(f"hop in {source}", hop, STAGE_NAMES)
        if not isinstance(limits, Mapping):
            raise UsageError(f"[{hop}] in {source} must be a table of limits, got {limits!r}")
        for name, limit in limits.items():
            if name not in NAMES:
                raise unknown_name(f"measure of {hop} in {source}", name, NAMES)
            if isinstance(limit, bool) or not isinstance(limit, int | float) or limit != limit:
                raise UsageError(f"{name} of {hop} in {source} must be a number, got {limit!r}")
    return {
        hop: {name: float(limit) for name, limit in limits.items()} for hop, limits in given.items()
    }


def write_tolerances(folder: Path, tolerances: Tolerances) -> None:
    """Store them beside the reference."""
    text = json.dumps({hop: dict(limits) for hop, limits in tolerances.items()}, indent=2)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read_tolerances(path: Path) -> dict[str, dict[str, float]]:
    """The tolerances in a folder's file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return checked(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError, AttributeError, RecursionError, UsageError) as error:
        raise InputError(
            f"{path} has no usable tolerances ({error}); export the avatar again"
        ) from error


# HopReport: what one hop of the waterfall loses, what it may lose, and the sentence about a miss.


@dataclass(frozen=True)
class StageReport:
    """One hop, measured or not run."""

    name: str
    start: str
    """What drew the reference."""
    end: str
    """What drew the candidate."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """See `measures.measure`."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Measure -> the least that is enough; of angles, the most."""
    not_run: str = ""
    """Why there are no measures."""
    frames: Mapping[str, str] = field(default_factory=dict)
    """Measure -> the name of the frame in which it is worst, where frames have names."""

    def misses(self) -> list[str]:
        """The names of the measures that are not good enough."""
        return [name for name in self.limits if name in self.measures and not self._enough(name)]

    def _enough(self, name: str) -> bool:
        value, limit = self.measures[name], self.limits[name]
        return value <= limit if row_of(name).falls else value >= limit

    def problems(self) -> str:
        """Every miss in one sentence; empty when there is none."""
        misses = [self._miss(name) for name in self.misses()]
        stage = f"the stage {self.name} ({self.start} -> {self.end}) differs too much"
        return f"{stage}: {', '.join(misses)}" if misses else ""

    def _miss(self, name: str) -> str:
        bound = "at most" if row_of(name).falls else "at least"
        worst = WORST + name.removeprefix(WORST)
        kind, frame = ("worst" if name == worst else "median"), ""
        if name in self.frames:
            frame = f", worst frame '{self.frames[name]}' with {self.shown(worst)}"
        title = f"{kind} {row_of(name).title}"
        return f"{title} {self.shown(name)} ({bound} {self.asked(name)} required{frame})"

    def shown(self, name: str) -> str:
        """What was measured, with its unit."""
        return spelt(name, self.measures[name])

    def asked(self, name: str) -> str:
        """What is asked for, with its unit; empty where nothing is."""
        return spelt(name, self.limits[name]) if name in self.limits else ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        head = {"hop": self.name, "from": self.start, "to": self.end}
        if self.not_run:
            return {**head, "not_run": self.not_run}
        told = {name: round(value, 5) for name, value in self.measures.items()}
        return {
            **head,
            "passed": not self.misses(),
            "measures": told,
            "limits": dict(self.limits),
            **({"worst_frames": dict(self.frames)} if self.frames else {}),
        }


COLUMNS = ("stage", *(row.title for row in MEASURES.values()))
"""Heads of a table of hops."""


def cells(report: StageReport) -> tuple[str, ...]:
    """One hop's row: median, worst frame in brackets, and below what is asked for where that is missed."""
    head = f"{report.start} -> {report.end}"
    if report.not_run:
        return (f"{head}\nnot run: {report.not_run}", *[""] * len(MEASURES))
    return (head, *(_cell(report, name) for name in MEASURES))


def _cell(report: StageReport, name: str) -> str:
    if name not in report.measures:
        return "not in view"
    missed = [asked for asked in (name, WORST + name) if asked in report.misses()]
    text = f"{report.shown(name)} ({report.shown(WORST + name)})"
    return text + "".join(f"\nMISSED: {asked} {report.asked(asked)}" for asked in missed)


def spelt(name: str, value: float) -> str:
    """A value of a measure, with its unit."""
    unit = row_of(name).unit
    if unit == "dB":
        return f"{value:.1f} dB"
    return f"{value:.2f}{unit}" if unit else f"{value:.4f}"
