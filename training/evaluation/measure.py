"""`measure`: computes all metrics on all frames of a dataset; `Scores` holds and sums them up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, median

from imavatar_deploy.errors import InputError, unknown_name
from imavatar_deploy.progress import Progress, silent

from .interfaces import GroundTruth, PredictionSource, Truth
from .metric import Case, Masking, Perceptual, Prediction
from .metrics import METRICS


@dataclass(frozen=True)
class Summary:
    """Statistics of one metric over the frames that have a value."""

    mean: float
    median: float
    worst: float
    worst_frame: str
    """Name of the frame with the worst value."""
    frames: int
    """Number of frames that have a value."""


@dataclass(frozen=True)
class Scores:
    """Values of the metrics on all frames."""

    names: tuple[str, ...]
    """Names of the frames."""
    values: dict[str, list[float]]
    """Value of each measured metric on each frame; NaN where a frame has nothing to measure."""
    unmeasured: dict[str, str]
    """Metrics that were not measured, and why."""

    def summary(self, metric: str) -> Summary | None:
        """Statistics of a metric, or None where it was not measured or no frame has a value.

        Raises:
            UsageError: the metric is not a row of `METRICS`.
        """
        if metric not in METRICS:
            raise unknown_name("metric", metric, METRICS)
        if metric not in self.values:
            return None
        rows = [
            (value, name)
            for value, name in zip(self.values[metric], self.names, strict=True)
            if value == value
        ]
        if not rows:
            return None
        values = [value for value, _ in rows]
        worst, worst_frame = rows[METRICS[metric].worst_of(values)]
        return Summary(fmean(values), median(values), worst, worst_frame, len(rows))

    def mean(self, metric: str) -> float | None:
        """Mean of a metric, or None where it was not measured.

        Raises:
            UsageError: the metric is not a row of `METRICS`.
        """
        summary = self.summary(metric)
        return summary.mean if summary else None

    def ranked(self) -> list[int]:
        """Indices of the frames from the lowest to the highest PSNR; NaN counts as lowest."""
        values = self.values["PSNR"]
        return sorted(
            range(len(values)),
            key=lambda index: -math.inf if math.isnan(values[index]) else values[index],
        )


def measure(
    truth: GroundTruth,
    source: PredictionSource,
    masking: Masking,
    *,
    perceptual: Perceptual | None = None,
    on_case: Callable[[Case], None] = lambda case: None,
    progress: Progress = silent,
) -> Scores:
    """Compute every metric of the table on every frame of `truth`.

    Args:
        truth: dataset.
        source: predictions of its frames.
        masking: region of the photometric metrics.
        perceptual: LPIPS, from `load_perceptual`; not measured when left out.
        on_case: called with each case, for example to write its picture.
        progress: receives the number of measured frames.

    Raises:
        InputError: the dataset has no frame, a prediction is missing or has another size, or the
            masking cannot be applied.
    """
    if not len(truth):
        raise InputError("there is no frame to evaluate: check --frames")
    names: list[str] = []
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    unmeasured: dict[str, str] = {}
    with progress("evaluating", len(truth)) as advance:
        for index in range(len(truth)):
            case = make_case(truth.observation(index), source.predict(index), perceptual)
            names.append(case.name)
            for metric in METRICS.values():
                reason = metric.absent(case)
                unmeasured |= {metric.name: reason} if reason else {}
                values[metric.name].append(math.nan if reason else metric.measure(case, masking))
            on_case(case)
            advance(1)
    measured = {
        name: column for name, column in values.items() if any(value == value for value in column)
    }
    for name in values.keys() - measured.keys():
        unmeasured.setdefault(name, "no frame has a pixel to measure")
    return Scores(
        tuple(names), measured, {name: unmeasured[name] for name in METRICS if name not in measured}
    )


def make_case(
    observation: Truth, prediction: Prediction, perceptual: Perceptual | None = None
) -> Case:
    """Combine truth and prediction of one frame.

    Raises:
        InputError: the two differ in size.
    """
    if prediction.rgb.shape != observation.image.shape:
        height, width = prediction.rgb.shape[:2]
        rows, columns = observation.image.shape[:2]
        raise InputError(
            f"the prediction for frame {observation.name!r} is {width} x {height} pixels and the "
            f"dataset is read at {columns} x {rows}; pass size={width} "
            f"(--size {width}) if the predictions are right"
        )
    return Case(
        name=observation.name,
        truth=observation.image,
        truth_mask=observation.mask,
        prediction=prediction.rgb,
        prediction_mask=prediction.mask,
        truth_normal=observation.normal,
        prediction_normal=prediction.normal,
        keypoints=observation.keypoints,
        landmarks=prediction.landmarks,
        perceptual=perceptual,
    )
