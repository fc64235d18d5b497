"""Measuring: every metric on every frame of a dataset, against one source of predictions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, median

from imavatar_deploy.errors import InputError
from imavatar_deploy.progress import Progress, silent

from .metric import Case, Masking, Perceptual, Prediction
from .metrics import METRICS
from .source import GroundTruth, PredictionSource, Truth


@dataclass(frozen=True)
class Summary:
    """One metric over all frames that could be measured."""

    mean: float
    median: float
    worst: float
    worst_frame: str
    frames: int


@dataclass(frozen=True)
class Scores:
    """What was measured: one row per frame."""

    names: tuple[str, ...]
    values: dict[str, list[float]]
    """By metric, one value per frame; NaN where a frame left nothing to measure. Only metrics that were measured."""
    unmeasured: dict[str, str]
    """By metric: why it was not."""

    def summary(self, metric: str) -> Summary | None:
        """None where no frame gave a number."""
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
        """The mean of one metric, or None where it was not measured."""
        summary = self.summary(metric) if metric in self.values else None
        return summary.mean if summary else None

    def ranked(self) -> list[int]:
        """Frames from the worst to the best by PSNR; those without a number come first."""
        order = self.values["PSNR"]
        return sorted(
            range(len(order)),
            key=lambda index: -math.inf if math.isnan(order[index]) else order[index],
        )


def measure(
    truth: GroundTruth,
    source: PredictionSource,
    masking: Masking,
    *,
    perceptual: Perceptual | None = None,
    seen: Callable[[Case], None] = lambda case: None,
    progress: Progress = silent,
) -> Scores:
    """Every metric of the table on every frame of `truth`.

    Args:
        seen: told of each case, e.g. to keep a picture of it.

    Raises:
        InputError: the dataset has no frame, a prediction is missing or has another size, or the masking cannot be
            applied.
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
            seen(case)
            advance(1)
    measured = {
        name: column for name, column in values.items() if any(value == value for value in column)
    }
    for name in values.keys() - measured.keys():
        unmeasured.setdefault(name, "no frame left a pixel to measure")
    return Scores(
        tuple(names), measured, {name: unmeasured[name] for name in METRICS if name not in measured}
    )


def make_case(
    observation: Truth, prediction: Prediction, perceptual: Perceptual | None = None
) -> Case:
    """Truth and prediction of one frame.

    Raises:
        InputError: they differ in size.
    """
    if prediction.rgb.shape != observation.image.shape:
        (height, width), (rows, columns) = prediction.rgb.shape[:2], observation.image.shape[:2]
        raise InputError(
            f"the prediction for frame {observation.name!r} is {width} x {height} pixels and the dataset is read at "
            f"{columns} x {rows}; pass --size {width} if the predictions are right"
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
