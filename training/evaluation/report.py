"""The report of an evaluation: Markdown, JSON and a contact sheet in a folder, written atomically.

report.md         tables of all metrics, for reading
report.json       the same, for programs
contact_sheet.png the worst, the median and the best frame
frames/           a strip of every frame, with `keep_frames`
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imavatar_deploy.atomic import atomic_folder
from imavatar_deploy.progress import Progress, silent

from .contact_sheet import Bytes, read_picture, stack, strip, write_picture
from .interfaces import GroundTruth, PredictionSource
from .markdown import cell, table
from .measure import Scores, measure
from .metric import Case, Masking, Perceptual
from .metrics import METRICS

MARKER = "report.json"

SHEET = "contact_sheet.png"

STRIPS = "frames"


@dataclass(frozen=True)
class EvaluationReport:
    """The scores of a source, and facts about it."""

    title: str
    facts: dict[str, Any]
    """What is reported of the dataset and the source, such as the tracer."""
    masking: Masking
    scores: Scores

    def document(self) -> dict[str, Any]:
        """The report as JSON values; numbers that are not finite become strings."""
        scores = self.scores
        return {
            "title": self.title,
            **self.facts,
            "masking": {"name": self.masking.name, "summary": self.masking.summary},
            "metrics": {
                name: {
                    "unit": METRICS[name].unit,
                    "better": METRICS[name].better,
                    **_summary(scores, name),
                }
                for name in METRICS
            },
            "frames": [
                {"name": frame}
                | {name: _plain(column[index]) for name, column in scores.values.items()}
                for index, frame in enumerate(scores.names)
            ],
        }

    def markdown(self) -> str:
        """The report as Markdown."""
        scores = self.scores
        lines = [f"# {self.title}", ""]
        lines += [f"- {name}: {value}" for name, value in self.facts.items()]
        lines += [
            f"- masking: {self.masking.summary}",
            "",
            *_overview(scores),
            "",
            f"![worst to best]({SHEET})",
            "",
        ]
        lines += ["## How it was measured", ""]
        lines += [f"- **{row.name}**: {row.summary}" for row in METRICS.values()]
        lines += ["", "## Every frame", ""]
        rows = [
            [frame, *(cell(column[index]) for column in scores.values.values())]
            for index, frame in enumerate(scores.names)
        ]
        return "\n".join([*lines, *table(["frame", *scores.values], rows)]) + "\n"


def write_report(
    out: Path,
    truth: GroundTruth,
    source: PredictionSource,
    masking: Masking,
    *,
    facts: Mapping[str, Any] | None = None,
    perceptual: Perceptual | None = None,
    keep_frames: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> EvaluationReport:
    """Measure every frame of `truth` and write the report to the folder `out`.

    Args:
        out: folder to write.
        truth: dataset.
        source: predictions of its frames.
        masking: region of the photometric metrics.
        facts: what to report beside the facts of the source.
        perceptual: LPIPS, from `load_perceptual`; not measured when left out.
        keep_frames: write a strip of every frame (truth, prediction, error, normals) to `frames/`.
        overwrite: replace an earlier report.
        progress: receives the number of measured frames.

    Raises:
        UsageError: `out` cannot be written, or exists.
        InputError: the dataset has no frame, a prediction is missing or has another size, or the
            masking cannot be applied.
    """
    with atomic_folder(out, marker=MARKER, overwrite=overwrite) as partial:
        strips = _Strips(partial / STRIPS)
        scores = measure(
            truth, source, masking, perceptual=perceptual, on_case=strips.add, progress=progress
        )
        facts = {**(facts or {}), "frames": len(truth), "size": truth.size, **source.facts}
        report = EvaluationReport(f"Evaluation of {source.title}", facts, masking, scores)
        write_picture(partial / SHEET, strips.sheet(scores))
        (partial / "report.md").write_text(report.markdown(), encoding="utf-8")
        (partial / MARKER).write_text(
            json.dumps(report.document(), indent=2) + "\n", encoding="utf-8"
        )
        if not keep_frames:
            strips.remove()
    return report


class _Strips:
    """Pictures of all frames on disk, from which the sheet is composed after the last frame."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: list[Path] = []
        folder.mkdir()

    def add(self, case: Case) -> None:
        # Frames of several videos may share a name.
        self._paths.append(self._folder / f"{len(self._paths) + 1:05d}_{case.name}.png")
        write_picture(self._paths[-1], strip(case))

    def sheet(self, scores: Scores) -> Bytes:
        """The worst, the median and the best frame by PSNR."""
        order = scores.ranked()
        indices = list(dict.fromkeys([order[0], order[len(order) // 2], order[-1]]))
        captions = [
            f"{rank}, frame {scores.names[index]}: PSNR {cell(scores.values['PSNR'][index])} dB"
            for rank, index in zip(_ranks(len(indices)), indices, strict=True)
        ]
        return stack([read_picture(self._paths[index]) for index in indices], captions)

    def remove(self) -> None:
        for path in self._paths:
            path.unlink()
        self._folder.rmdir()


def _ranks(count: int) -> tuple[str, ...]:
    return {1: ("only",), 2: ("worst", "best")}.get(count, ("worst", "median", "best"))


def _overview(scores: Scores) -> list[str]:
    rows = []
    for name, row in METRICS.items():
        summary = scores.summary(name)
        heading = [name, row.unit, row.better]
        if summary is None:
            rows.append([*heading, f"not measured: {scores.unmeasured[name]}", "", "", "", ""])
            continue
        values = (summary.mean, summary.median, summary.worst)
        rows.append([*heading, *map(cell, values), summary.worst_frame, str(summary.frames)])
    return table(
        ["metric", "unit", "better", "mean", "median", "worst", "worst frame", "frames"], rows
    )


def _summary(scores: Scores, name: str) -> dict[str, Any]:
    summary = scores.summary(name)
    if summary is None:
        return {"not_measured": scores.unmeasured[name]}
    return {key: _plain(value) for key, value in asdict(summary).items()}


def _plain(value: Any) -> Any:
    """The value, or its text for NaN and infinity, which JSON does not have."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
