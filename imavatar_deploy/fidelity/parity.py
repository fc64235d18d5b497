"""compare(reference, candidate, tolerance) -> ParityReport: names, then shapes, then values, every failure listed.

Colours that only resemble their reference are judged as images are: `compare_frames` in decibels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .image_metrics import psnr_of

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Tolerance:
    """`|candidate - reference| <= absolute + relative |reference|`, everywhere."""

    absolute: float
    relative: float = 0.0


@dataclass(frozen=True)
class Difference:
    """How one array compares; `problem` is empty when it agrees."""

    name: str
    shape: tuple[int, ...]
    largest: float
    mean: float
    tolerance: Tolerance
    problem: str = ""


@dataclass(frozen=True)
class FidelityMetric:
    """How like its reference a set of frames is; `problem` is empty when that is enough."""

    name: str
    frames: int
    psnr: float  # dB over all frames together
    min_frame_psnr: float  # dB of one frame
    required_psnr: float  # dB that `psnr` must reach
    problem: str = ""


@dataclass(frozen=True)
class ParityReport:
    """How every array of a subject (a graph, a hop) compares with its reference, and every set of frames."""

    subject: str
    differences: tuple[Difference, ...] = ()
    frame_metrics: tuple[FidelityMetric, ...] = ()

    @property
    def rows(self) -> tuple[Difference | FidelityMetric, ...]:
        """Everything that was compared."""
        return (*self.differences, *self.frame_metrics)

    @property
    def passed(self) -> bool:
        """True when every array agrees and every set of frames is like enough."""
        return not any(row.problem for row in self.rows)

    def problems(self) -> str:
        """Every failure, as one sentence; empty when all agree."""
        return "; ".join(
            f"{self.subject}.{row.name} {row.problem}" for row in self.rows if row.problem
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
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
    reference: NDArray[Any],
    candidate: NDArray[Any],
    *,
    required_psnr: float,
    remedy: str = "",
) -> FidelityMetric:
    """Compare colours in 0..1 of T frames, `[T, ..., 3]`, that need not be equal but alike.

    Args:
        required_psnr: PSNR in dB, over all frames together, that is enough.
        remedy: what to do where it is not.
    """
    error = np.square(candidate.astype(np.float64) - reference)
    of_frame = error.reshape(len(error), -1).mean(axis=1)
    psnr, min_frame_psnr = psnr_of(of_frame.mean()), psnr_of(of_frame.max())
    said = f"reaches {psnr:.1f} dB, {required_psnr:g} dB are asked for" + (
        f" ({remedy})" if remedy else ""
    )
    problem = "" if psnr >= required_psnr else said  # a NaN compares false
    return FidelityMetric(name, len(error), psnr, min_frame_psnr, required_psnr, problem)


def compare(
    subject: str, reference: Arrays, candidate: Arrays, tolerances: Mapping[str, Tolerance]
) -> ParityReport:
    """Compare two sets of named arrays.

    Args:
        subject: what is compared, for the report.
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
    name: str, reference: NDArray[Any], candidate: NDArray[Any] | None, limit: Tolerance
) -> Difference:
    if candidate is None:
        return Difference(name, reference.shape, np.inf, np.inf, limit, "is missing")
    if candidate.shape != reference.shape:
        problem = f"must have shape {list(reference.shape)}, got {list(candidate.shape)}"
        return Difference(name, candidate.shape, np.inf, np.inf, limit, problem)
    wanted = reference.astype(np.float64)
    error = np.abs(candidate.astype(np.float64) - wanted)
    excess = error - limit.relative * np.abs(wanted)
    largest, mean = (float(error.max()), float(error.mean())) if error.size else (0.0, 0.0)
    needed = float(excess.max()) if error.size else 0.0
    if needed <= limit.absolute:  # a NaN compares false and so falls through
        return Difference(name, reference.shape, largest, mean, limit)
    where = np.unravel_index(int(np.argmax(np.nan_to_num(excess, nan=np.inf))), error.shape)
    problem = (
        f"differs by {largest:.2e} at {[int(i) for i in where]}, tolerance {limit.absolute:.0e}"
        f"{f' + {limit.relative:.0e} relative' if limit.relative else ''} (an absolute {needed:.1e} would pass)"
    )
    return Difference(name, reference.shape, largest, mean, limit, problem)
