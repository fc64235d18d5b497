"""Metrics, tolerances and reports of the stages of an export.

`measure` compares two series of frames by each metric of `METRICS`: the median over the frames, and
the worst frame. `StageReport` compares these values with their limits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import Array, Bool, Float, Float32, Float64
from imavatar_deploy.errors import InputError, UsageError, excerpt, unknown_name

from .image_metrics import WINDOW, iou, normal_angle, psnr, ssim

TOLERANCES_FILE = "golden/tolerances.json"
"""Path in an avatar folder of the limits of each stage, so that every machine applies the same."""

STAGE_NAMES = ("baked", "onnx", "tensorrt", "student")
"""The stages of every export that can have limits, in order."""

REFINED = "refined"
"""The stage of a student that is refined on images; its reference is held-out images."""

BROWSER = "browser"
"""The stage of the page that the format `web` writes."""

STAGES_WITH_LIMITS = (*STAGE_NAMES, REFINED, BROWSER)
"""Every stage that tolerances may name."""

WORST_PREFIX = "worst_"
"""Prefix of a metric's name that stands for the worst frame instead of the median."""

BACKGROUND = 1.0
"""Grey value of pixels that do not show the avatar."""

Values = NDArray[np.float64]
"""`[T]`: the values of a metric in T frames."""

Tolerances = Mapping[str, Mapping[str, float]]
"""Stage -> metric -> limit."""


class FrameImages(NamedTuple):
    """Colours, normals and mask of one frame."""

    rgb: Float32[Array, "H W 3"]
    """In 0..1; the background is white."""
    normal: Float32[Array, "H W 3"]
    """Unit, model space; undefined where the mask is false."""
    mask: Bool[Array, "H W"]
    """Pixels that show the avatar."""


def frame_images(
    rgb: Float[Array, "H W 3"], normal: Float[Array, "H W 3"], mask: Bool[Array, "H W"]
) -> FrameImages:
    """Copy the images of a frame and make the background white."""
    colours = np.where(mask[..., None], rgb, BACKGROUND).astype(np.float32)
    return FrameImages(colours, np.array(normal, dtype=np.float32), np.array(mask))


class StageMetric(NamedTuple):
    """A metric: a row of `METRICS`."""

    title: str
    unit: str
    lower_is_better: bool
    of: Callable[[FrameImages, FrameImages, Bool[Array, "H W"]], float]
    """(reference, candidate, mouth region) -> value in one frame; NaN if it is undefined there."""
    combine: Callable[[Sequence[float]], float]
    """Limits of several stages -> limit of all of them together."""


def _psnr(a: FrameImages, b: FrameImages, within: Bool[Array, "H W"]) -> float:
    return psnr(a.rgb, b.rgb, within)


def _ssim(a: FrameImages, b: FrameImages, common: Bool[Array, "H W"]) -> float:
    return ssim(a.rgb, b.rgb, common) if min(common.shape) >= WINDOW else float("nan")


def _angle(a: FrameImages, b: FrameImages, within: Bool[Array, "H W"]) -> float:
    return (
        float(np.median(normal_angle(a.normal, b.normal, within))) if within.any() else float("nan")
    )


def _sum_of_errors(decibels: Sequence[float]) -> float:
    """PSNR of several differences together, at worst: their root mean squares add up."""
    return float(-20.0 * np.log10(sum(10.0 ** (-value / 20.0) for value in decibels)))


def _sum_of_losses(shares: Sequence[float]) -> float:
    return 1.0 - sum(1.0 - share for share in shares)


METRICS: dict[str, StageMetric] = {
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
"""The metrics by name. They cover the pixels where both images show the avatar; those of the mouth,
the mouth region alone."""

METRIC_NAMES = tuple(prefix + name for name in METRICS for prefix in ("", WORST_PREFIX))
"""Names of the values in a summary: each metric with and without `WORST_PREFIX`."""

COLUMNS = ("stage", *(row.title for row in METRICS.values()))
"""Headings of a table of stages, see `cells`."""


def row_of(name: str) -> StageMetric:
    """Return the metric of a name with or without `WORST_PREFIX`."""
    return METRICS[name.removeprefix(WORST_PREFIX)]


def measure_frames(
    reference: Sequence[FrameImages],
    candidate: Sequence[FrameImages],
    mouths: Sequence[Bool[Array, "H W"]],
    left_out: Sequence[Bool[Array, "H W"]] | None = None,
) -> dict[str, Float64[Array, " T"]]:
    """Return every metric of `METRICS` in each of T frames; NaN where it is undefined.

    Args:
        reference: T frames.
        candidate: T frames.
        mouths: T masks `[H, W]` of the mouth region.
        left_out: T masks `[H, W]` of pixels that do not count; None for none.
    """
    frames = list(zip(reference, candidate, mouths, strict=True))
    if left_out is not None:
        frames = [
            (a._replace(mask=a.mask & ~out), b._replace(mask=b.mask & ~out), mouth & ~out)
            for (a, b, mouth), out in zip(frames, left_out, strict=True)
        ]
    values = {name: [row.of(*frame) for frame in frames] for name, row in METRICS.items()}
    return {name: np.array(row, dtype=np.float64) for name, row in values.items()}


def summary(of_frames: Mapping[str, Float64[Array, " T"]]) -> dict[str, float]:
    """Return the value of each of `METRIC_NAMES`, without those that no frame defines.

    Args:
        of_frames: result of `measure_frames`.
    """
    metrics: dict[str, float] = {}
    for name, values in of_frames.items():
        if (defined := values[~np.isnan(values)]).size:
            metrics[name] = float(np.median(defined))
            metrics[WORST_PREFIX + name] = float(
                defined.max() if row_of(name).lower_is_better else defined.min()
            )
    return metrics


def measure(
    reference: Sequence[FrameImages],
    candidate: Sequence[FrameImages],
    mouths: Sequence[Bool[Array, "H W"]],
    left_out: Sequence[Bool[Array, "H W"]] | None = None,
) -> dict[str, float]:
    """Return the `summary` of T frames; the arguments are those of `measure_frames`."""
    return summary(measure_frames(reference, candidate, mouths, left_out))


def worst_first(name: str, of_frames: Mapping[str, Float64[Array, " T"]]) -> list[int]:
    """Return the indices of the frames in which a metric is defined, the worst first.

    Args:
        name: one of `METRIC_NAMES`.
        of_frames: result of `measure_frames`.
    """
    values = of_frames[name.removeprefix(WORST_PREFIX)]
    order = np.argsort(-values if row_of(name).lower_is_better else values, kind="stable")
    return [int(frame) for frame in order if not np.isnan(values[frame])]


def combine_limits(limits: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Combine the limits of several stages into those of all of them together.

    A stage without a limit for a metric counts as lossless in it.
    """
    names = {name: [one[name] for one in limits if name in one] for name in METRIC_NAMES}
    return {name: row_of(name).combine(values) for name, values in names.items() if values}


def validate_tolerances(tolerances: Mapping[str, Any], source: str) -> dict[str, dict[str, float]]:
    """Validate tolerances: the limits of some stages, each of some metrics.

    Args:
        source: file that they come from, for the messages.

    Raises:
        UsageError: a stage or a metric does not exist, or a limit is not a number.
    """
    for stage, limits in tolerances.items():
        if stage not in STAGES_WITH_LIMITS:
            raise unknown_name(f"stage in {source}", stage, STAGES_WITH_LIMITS)
        if not isinstance(limits, Mapping):
            raise UsageError(
                f"[{stage}] in {source} must be a table of limits, got {excerpt(repr(limits))}"
            )
        for name, limit in limits.items():
            if name not in METRIC_NAMES:
                raise unknown_name(f"metric of {stage} in {source}", name, METRIC_NAMES)
            if isinstance(limit, bool) or not isinstance(limit, int | float) or limit != limit:
                raise UsageError(
                    f"{name} of {stage} in {source} must be a number, got {excerpt(repr(limit))}"
                )
    return {
        stage: {name: float(limit) for name, limit in limits.items()}
        for stage, limits in tolerances.items()
    }


def write_tolerances(folder: Path, tolerances: Tolerances) -> None:
    """Write tolerances into an avatar folder."""
    text = json.dumps({stage: dict(limits) for stage, limits in tolerances.items()}, indent=2)
    (folder / TOLERANCES_FILE).write_text(text + "\n", encoding="utf-8")


def read_tolerances(path: Path) -> dict[str, dict[str, float]]:
    """Read the tolerances of an avatar folder from their file.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        return validate_tolerances(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError, AttributeError, RecursionError, UsageError) as error:
        raise InputError(
            f"{path} has no usable tolerances ({error}); export the avatar again"
        ) from error


@dataclass(frozen=True)
class StageReport:
    """Metrics and limits of one stage, or why it was not run."""

    name: str
    start: str
    """Renderer of the reference."""
    end: str
    """Renderer of the candidate."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """Value of each metric, by the names in `METRIC_NAMES`: result of `measure`."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Metric -> smallest sufficient value; for angles, the largest."""
    not_run: str = ""
    """Why the metrics have no values."""
    frames: Mapping[str, str] = field(default_factory=dict)
    """Metric -> name of the frame in which it is worst, where frames have names."""

    def misses(self) -> list[str]:
        """Return the names of the metrics that miss their limits."""
        return [name for name in self.limits if name in self.measures and not self._passes(name)]

    def _passes(self, name: str) -> bool:
        value = self.measures[name]
        limit = self.limits[name]
        return value <= limit if row_of(name).lower_is_better else value >= limit

    def problems(self) -> str:
        """Return every miss in one sentence; empty if there is none."""
        misses = [self._miss(name) for name in self.misses()]
        stage = f"the stage {self.name} ({self.start} -> {self.end}) differs too much"
        return f"{stage}: {', '.join(misses)}" if misses else ""

    def _miss(self, name: str) -> str:
        bound = "at most" if row_of(name).lower_is_better else "at least"
        worst = WORST_PREFIX + name.removeprefix(WORST_PREFIX)
        kind = "worst" if name == worst else "median"
        frame = ""
        if name in self.frames:
            frame = f", worst frame '{self.frames[name]}' with {self.value_text(worst)}"
        title = f"{kind} {row_of(name).title}"
        limit = f"{bound} {self.limit_text(name)} required"
        return f"{title} {self.value_text(name)} ({limit}{frame})"

    def value_text(self, name: str) -> str:
        """Return the value of a metric with its unit."""
        return value_with_unit(name, self.measures[name])

    def limit_text(self, name: str) -> str:
        """Return the limit of a metric with its unit; empty if it has none."""
        return value_with_unit(name, self.limits[name]) if name in self.limits else ""

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        head = {"stage": self.name, "from": self.start, "to": self.end}
        if self.not_run:
            return {**head, "not_run": self.not_run}
        return {
            **head,
            "passed": not self.misses(),
            "measures": {name: round(value, 5) for name, value in self.measures.items()},
            "limits": dict(self.limits),
            **({"worst_frames": dict(self.frames)} if self.frames else {}),
        }


def cells(report: StageReport) -> tuple[str, ...]:
    """Return the row of a stage in a table with the headings `COLUMNS`.

    A cell holds the median, the worst frame in parentheses, and each limit that is missed.
    """
    head = f"{report.start} -> {report.end}"
    if report.not_run:
        return (f"{head}\nnot run: {report.not_run}", *[""] * len(METRICS))
    return (head, *(_cell(report, name) for name in METRICS))


def _cell(report: StageReport, name: str) -> str:
    if name not in report.measures:
        return "not in view" if name.startswith("mouth") else "not known"
    missed = [metric for metric in (name, WORST_PREFIX + name) if metric in report.misses()]
    text = f"{report.value_text(name)} ({report.value_text(WORST_PREFIX + name)})"
    return text + "".join(f"\nMISSED: {name} {report.limit_text(name)}" for name in missed)


def value_with_unit(name: str, value: float) -> str:
    """Format a value of a metric with its unit."""
    unit = row_of(name).unit
    if unit == "dB":
        return f"{value:.1f} dB"
    return f"{value:.2f}{unit}" if unit else f"{value:.4f}"
