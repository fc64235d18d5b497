"""The report of a track: one self-contained HTML page, and the same figures as JSON.

report.html        verdict, advice, overlays, values over time, coverage, dropped frames, settings
track_report.json  for programs, in the same folder
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from string import Template

from imavatar_deploy.atomic import write_text
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.progress import Progress, silent

from .report_sections import (
    capitalised,
    coverage_section,
    frames_section,
    left_out_section,
    over_time_section,
    settings_section,
    verdict_section,
)
from .result import TrackResult
from .summary import TrackSummary

JSON_NAME = "track_report.json"

PACKAGES = ("imavatar-deploy", "numpy", "opencv-python-headless", "onnxruntime", "av")
"""Packages whose versions the report states."""


def write_report(
    result: TrackResult,
    path: str | Path,
    *,
    head: HeadModel | None = None,
    images: bool = True,
    settings: Mapping[str, object] | None = None,
    command: str = "",
    consent: str = "",
    progress: Progress = silent,
) -> TrackSummary:
    """Write the report of a track, and `track_report.json` beside it.

    Args:
        result: the track, of at least one frame.
        path: the HTML file to write.
        head: head model of the track's edition; the bundled one by default.
        images: whether pictures of frames are embedded.
        settings: settings of the tracking, by name.
        command: the command line that made the track.
        consent: who consented, as a sentence.
        progress: shows the progress.

    Returns:
        What the report says.

    Raises:
        InputError: a picture of the dataset cannot be read.
        UsageError: the files cannot be written.
    """
    summary = TrackSummary.of(result, head)
    facts = _facts(summary, settings or {}, command, consent)
    with progress("writing the report", None):
        page = report_page(summary, facts, images=images)
        write_text(path, page)
        text = json.dumps(summary.document(facts), indent=1, ensure_ascii=False) + "\n"
        write_text(Path(path).with_name(JSON_NAME), text)
    return summary


def report_page(summary: TrackSummary, facts: Mapping[str, str], *, images: bool) -> str:
    """Return the HTML of the report."""
    sections = {
        "verdict": ("Verdict", verdict_section(summary)),
        "frames": ("Frames", frames_section(summary) if images else ""),
        "coverage": ("Coverage", coverage_section(summary)),
        "time": ("Over time", over_time_section(summary)),
        "left-out": ("Frames left out", left_out_section(summary)),
        "settings": ("Settings", settings_section(summary, facts)),
    }
    shown = {name: (title, body) for name, (title, body) in sections.items() if body}
    template = files(__package__).joinpath("report.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        video=escape(summary.result.video),
        nav="".join(
            f'<li><a href="#{name}">{title}</a></li>' for name, (title, _) in shown.items()
        ),
        body="\n".join(
            f'<section id="{name}" aria-labelledby="{name}-title">'
            f'<h2 id="{name}-title">{title}</h2>\n{body}</section>'
            for name, (title, body) in shown.items()
        ),
    )


def _facts(
    summary: TrackSummary, settings: Mapping[str, object], command: str, consent: str
) -> dict[str, str]:
    """Names and values of the section "Settings"."""
    result = summary.result
    focal = float(result.intrinsics[0])
    facts = {
        "Video": result.video,
        "Pictures": f"{result.size} x {result.size} pixels, {result.fps:.4g} a second",
        "Focal length": f"{focal * result.size:.0f} pixels of the pictures "
        f"({focal:.2f} times their side), from: {result.focal_source}",
        "Head model": result.edition,
        "Consent": consent or "not recorded",
    }
    facts |= {capitalised(name.replace("_", " ")): str(value) for name, value in settings.items()}
    facts["Versions"] = ", ".join(_versions())
    if command:
        facts["Command"] = command
    return facts


def _versions() -> list[str]:
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return versions
