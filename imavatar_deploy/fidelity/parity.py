"""Parity reports: compare named arrays with their reference, and frames in decibels.

`compare` checks names, then shapes, then values, and lists every failure. `compare_frames` is for
colours that approximate their reference and are judged by PSNR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float, Shaped

from .image_metrics import psnr_of

MAX_UNKNOWN = 0.02
"""Largest share of the values of a reference that may be unknown (NaN); these are not compared."""


@dataclass(frozen=True)
class Tolerance:
    """The limit `|candidate - reference| <= absolute + relative |reference|` of every element."""

    absolute: float
    relative: float = 0.0


@dataclass(frozen=True)
class Difference:
    """Comparison of one array with its reference; `problem` is empty if they agree."""

    name: str
    shape: tuple[int, ...]
    largest: float
    mean: float
    tolerance: Tolerance
    problem: str = ""


@dataclass(frozen=True)
class FidelityMetric:
    """PSNR of a set of frames against their reference; `problem` is empty if it is sufficient."""

    name: str
    frames: int
    """Number of frames."""
    psnr: float
    """dB, over all frames together."""
    min_frame_psnr: float
    """dB, of the worst frame."""
    required_psnr: float
    """dB that `psnr` must reach."""
    problem: str = ""


@dataclass(frozen=True)
class ParityReport:
    """Comparison of every array and every set of frames of a subject, such as a graph."""

    subject: str
    differences: tuple[Difference, ...] = ()
    frame_metrics: tuple[FidelityMetric, ...] = ()

    @property
    def rows(self) -> tuple[Difference | FidelityMetric, ...]:
        """All comparisons."""
        return (*self.differences, *self.frame_metrics)

    @property
    def passed(self) -> bool:
        """Whether every array agrees and every set of frames reaches its PSNR."""
        return not any(row.problem for row in self.rows)

    def problems(self) -> str:
        """Return every failure in one sentence; empty if there is none."""
        return "; ".join(
            f"{self.subject}.{row.name} {row.problem}" for row in self.rows if row.problem
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        return {
            "subject": self.subject,
            "passed": self.passed,
            "arrays": {
                d.name: {
                    "shape": list(d.shape),
                    "largest": d.largest,
                    "mean": d.mean,
                    "absolute": d.tolerance.absolute,
                    "relative": d.tolerance.relative,
                    **({"problem": d.problem} if d.problem else {}),
                }
                for d in self.differences
            },
            **(
                {
                    "frames": {
                        row.name: {
                            "frames": row.frames,
                            "psnr": row.psnr,
                            "worst": row.min_frame_psnr,
                            "least": row.required_psnr,
                            **({"problem": row.problem} if row.problem else {}),
                        }
                        for row in self.frame_metrics
                    }
                }
                if self.frame_metrics
                else {}
            ),
        }


def compare_frames(
    name: str,
    reference: Float[Array, "T ... 3"],
    candidate: Float[Array, "T ... 3"],
    *,
    required_psnr: float,
    remedy: str = "",
) -> FidelityMetric:
    """Compare colours in 0..1 of T frames, `[T, ..., 3]`, with their reference by PSNR.

    Args:
        name: of the set of frames, for the report.
        required_psnr: PSNR in dB, over all frames together, that is sufficient.
        remedy: what to do if it is not reached, for the message.
    """
    error = np.square(candidate.astype(np.float64) - reference)
    of_frame = error.reshape(len(error), -1).mean(axis=1)
    psnr = psnr_of(of_frame.mean())
    min_frame_psnr = psnr_of(of_frame.max())
    problem = ""
    if not psnr >= required_psnr:  # true for NaN
        problem = f"reaches {psnr:.1f} dB, {required_psnr:g} dB are required"
        problem += f" ({remedy})" if remedy else ""
    return FidelityMetric(name, len(error), psnr, min_frame_psnr, required_psnr, problem)


def compare(
    subject: str,
    reference: Mapping[str, Shaped[Array, "..."]],
    candidate: Mapping[str, Shaped[Array, "..."]],
    tolerances: Mapping[str, Tolerance],
) -> ParityReport:
    """Compare two sets of named arrays.

    Args:
        subject: name of what is compared, for the report.
        tolerances: one for each name in `reference`.
    """
    rows = [
        _difference(name, reference[name], candidate.get(name), tolerances[name])
        for name in reference
    ]
    rows += [
        Difference(name, candidate[name].shape, np.inf, np.inf, Tolerance(0.0), "was not expected")
        for name in candidate
        if name not in reference
    ]
    return ParityReport(subject, tuple(rows))


def _difference(
    name: str,
    reference: Shaped[Array, "..."],
    candidate: Shaped[Array, "..."] | None,
    limit: Tolerance,
) -> Difference:
    if candidate is None:
        return Difference(name, reference.shape, np.inf, np.inf, limit, "is missing")
    if candidate.shape != reference.shape:
        problem = f"must have shape {list(reference.shape)}, got {list(candidate.shape)}"
        return Difference(name, candidate.shape, np.inf, np.inf, limit, problem)
    expected = reference.astype(np.float64)
    unknown = np.isnan(expected)
    if (share := float(unknown.mean()) if unknown.size else 0.0) > MAX_UNKNOWN:
        problem = f"has no reference for {share:.0%} of its values, {MAX_UNKNOWN:.0%} are allowed"
        return Difference(name, reference.shape, np.inf, np.inf, limit, problem)
    error = np.abs(candidate.astype(np.float64) - np.where(unknown, 0.0, expected))
    error[unknown & np.isfinite(error)] = 0.0
    expected[unknown] = 0.0
    excess = error - limit.relative * np.abs(expected)
    largest, mean = (float(error.max()), float(error.mean())) if error.size else (0.0, 0.0)
    needed = float(excess.max()) if error.size else 0.0
    if needed <= limit.absolute:  # false for NaN
        return Difference(name, reference.shape, largest, mean, limit)
    where = np.unravel_index(int(np.argmax(np.nan_to_num(excess, nan=np.inf))), error.shape)
    relative = f" + {limit.relative:.0e} relative" if limit.relative else ""
    problem = (
        f"differs by {largest:.2e} at {[int(i) for i in where]}, "
        f"tolerance {limit.absolute:.0e}{relative} (an absolute {needed:.1e} would pass)"
    )
    return Difference(name, reference.shape, largest, mean, limit, problem)
