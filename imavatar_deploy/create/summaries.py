"""Short summaries of the stages: what they printed, verdicts of videos, figures of the avatar."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imavatar_deploy.errors import InputError
from imavatar_deploy.fidelity import FidelityReport, read_fidelity

from .work import CreateFolder

CLOSING = ("took ", "next: ")
"""Beginnings of the last lines of a command; the time and the next step are of this command."""

TRACK_REPORT = "track_report.json"
"""Name of the report of a track, for programs, in the folder of its video."""

NOTE = "note"
"""Level of advice that does not affect the verdict on a video."""

HEADLINES = ("PSNR", "mask IoU", "RGB L1", "expression")
"""Metrics of the held-out frames that a summary states."""


@dataclass(frozen=True)
class VideoVerdict:
    """The verdict of the track report on one video."""

    video: str
    word: str
    """`good`, `usable` or `film again`."""
    advice: tuple[str, ...]
    """Sentences on which the verdict rests."""
    page: Path
    """The report as a page."""

    def line(self) -> str:
        """The verdict as a line."""
        return f"{self.video}: {self.word}"


def printed_lines(printed: str) -> list[str]:
    """What a stage printed, without its time and its next commands."""
    return [line for line in printed.splitlines() if line and not line.startswith(CLOSING)]


def export_lines(avatar: Path, work: CreateFolder) -> list[str]:
    """The fidelity of an export in a few lines.

    Raises:
        InputError: the avatar or its report cannot be read.
    """
    return [*fidelity_lines(read_fidelity(avatar)), f"full report: {work.log('export')}"]


def evaluation_lines(work: CreateFolder) -> list[str]:
    """The figures of the held-out frames in a line.

    Raises:
        InputError: the report of the evaluation cannot be read.
    """
    figures = held_out_line(work)
    return [*([figures] if figures else []), f"every frame: {work.held_out / 'report.md'}"]


def fidelity_lines(report: FidelityReport) -> list[str]:
    """PSNR of every stage, whether the tolerances are met, and the notes of the export."""
    stages = ", ".join(
        f"{stage.name} {stage.value_text('psnr')} ({stage.value_text('worst_psnr')})"
        for stage in report.stages
        if "psnr" in stage.measures and "worst_psnr" in stage.measures
    )
    lines = [f"fidelity, median PSNR (worst frame): {stages}"] if stages else []
    if not report.drift:  # of which a note tells
        lines.append(report.problems() or "every tolerance is met")
    if report.losses_mm:
        lines.append("what a format cannot show is in the full report")
    return [*lines, *report.notes]


def video_verdicts(work: CreateFolder) -> list[VideoVerdict]:
    """The verdict of every video that has a track report.

    Raises:
        InputError: a report cannot be read.
    """
    verdicts = []
    for track in work.tracks():
        report = read_json(track.parent / TRACK_REPORT)
        if not report:
            continue
        advice = [item for item in report.get("advice", ()) if item.get("level") != NOTE]
        verdicts.append(
            VideoVerdict(
                video=str(report.get("video", track.parent.name)),
                word=str(report.get("verdict", "unknown")),
                advice=tuple(str(item.get("text", "")) for item in advice),
                page=track.parent / "report.html",
            )
        )
    return verdicts


def held_out_line(work: CreateFolder) -> str:
    """Means and worst frames of the held-out frames in a line; empty without measurements.

    Raises:
        InputError: the report of the evaluation cannot be read.
    """
    document = read_json(work.held_out / "report.json")
    figures = [_figures(name, row) for name, row in metrics(document) if name in HEADLINES]
    frames = len(document.get("frames", ()))
    return f"held-out frames ({frames}), mean (worst): {', '.join(figures)}" if figures else ""


def _figures(name: str, row: Mapping[str, Any]) -> str:
    unit = f" {row['unit']}" if row.get("unit") else ""
    worst = row.get("worst")
    in_parentheses = f" ({_figure(worst)})" if isinstance(worst, float | int) else ""
    return f"{name} {_figure(row['mean'])}{unit}{in_parentheses}"


def _figure(value: float) -> str:
    return f"{value:.4f}" if abs(value) <= 1 else f"{value:.1f}"


def metrics(document: Mapping[str, Any]) -> Sequence[tuple[str, dict[str, Any]]]:
    """The measured metrics of an evaluation's `report.json`, by name."""
    return [
        (name, row)
        for name, row in document.get("metrics", {}).items()
        if isinstance(row.get("mean"), float | int)
    ]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where the file does not exist.

    Raises:
        InputError: the file cannot be read.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); run its stage again") from error
    return content if isinstance(content, dict) else {}
