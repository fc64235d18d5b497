"""`report.html`: verdict, clip beside avatar, figures of every stage, commands and consent."""

from __future__ import annotations

import html
import json
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.atomic import write_text
from imavatar_deploy.consent import consent_of
from imavatar_deploy.errors import InputError
from imavatar_deploy.fidelity import FidelityReport, read_fidelity
from imavatar_deploy.fidelity.held_out_frames import REFINED_SHEET
from imavatar_deploy.jpeg import encode_jpeg, jpeg_address
from imavatar_deploy.marking import TERM, marked_jpeg

from .pictures import pairs
from .plan import comparison
from .stages import CreateJob, held_out_frames
from .summaries import held_out_line, metrics, read_json, video_verdicts
from .work import CreateFolder

PICTURES = 6
"""Pictures of training frames, and as many of held-out frames."""

QUALITY = 88
"""JPEG quality of the pictures."""

REFINED_MEASURES = (
    ("RGB L1", "l1"),
    ("PSNR, dB", "psnr"),
    ("RGB L1 of the mouth", "mouth_l1"),
    ("RGB L1 of the eyes", "eyes_l1"),
)
"""Measures of a refinement, and their names in its facts."""

TONES = {"good": "good", "usable": "weak", "film again": "fail"}
"""Style of each verdict on a video."""

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.2rem; }
table { border-collapse: collapse; } th, td { padding: .25rem .9rem .25rem 0; text-align: left;
  border-bottom: 1px solid #ddd; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 0; } .row { display: grid; gap: .4rem;
  grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); }
img, video { width: 100%; display: block; border-radius: .3rem; }
video { max-width: 32rem; } .sheet { max-width: 60rem; }
code, pre { font-size: .85rem; } pre { white-space: pre-wrap;
  background: #f4f4f4; padding: .6rem .8rem; border-radius: .3rem; }
.note { color: #666; }
.verdict { border: 1px solid #ddd; border-left: .5rem solid #13703a; border-radius: .4rem;
  padding: .3rem 1.1rem; margin: 1rem 0; } .verdict.weak { border-left-color: #c88400; }
.verdict.fail { border-left-color: #b3261e; } .verdict p, .verdict ul { margin: .4rem 0; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818; }
  th, td { border-color: #444; } pre { background: #242424; } .note { color: #aaa; }
  .verdict { border-top-color: #444; border-right-color: #444; border-bottom-color: #444; } }
"""


def write_report(job: CreateJob) -> Path:
    """Write the page into the work folder and return its path.

    Raises:
        InputError: a file of a stage cannot be read.
        UsageError: the page cannot be written.
    """
    work = job.work
    fidelity = read_fidelity(job.request.out)
    sections = [
        _head(job),
        _section("Verdict", _verdict(work, fidelity)),
        _section("The avatar", _preview(job)),
        _pictures(work),
        _section("Minutes by stage", _stages(work)),
        _section("Tracking", _tracking(work)),
        _section("Training", _training(work)),
        _section("Held-out frames", _held_out(work)),
        _section("Refinement on the frames of the training", _refinement(job, fidelity)),
        _section("Fidelity of the export", _fidelity(fidelity)),
        _section("Consent and marking", _consent(work)),
        _section("Commands", _commands(work)),
    ]
    name = html.escape(job.request.out.name)
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="digitalSourceType" content="{TERM}">'
        f"<style>{STYLE}</style></head><body>{''.join(sections)}</body></html>\n"
    )
    write_text(work.report, page)
    return work.report


def _section(title: str, content: str) -> str:
    return f"<h2>{html.escape(title)}</h2>{content}" if content else ""


def _head(job: CreateJob) -> str:
    request = job.request
    videos = ", ".join(html.escape(video.name) for video in request.videos)
    minutes = sum(record.seconds for record in job.work.stages.values()) / 60.0
    return (
        f"<h1>{html.escape(request.out.name)}</h1>"
        f"<p>An avatar from {videos}, in {minutes:.1f} minutes.</p>"
    )


def _preview(job: CreateJob) -> str:
    request = job.request
    return (
        f'<video src="{html.escape(job.work.preview.name)}" controls loop muted></video>'
        f"<pre>imavatar-run {html.escape(shlex.quote(str(request.out)))} "
        "--source talk --sink http://127.0.0.1:8080</pre>"
    )


def _verdict(work: CreateFolder, fidelity: FidelityReport) -> str:
    """What is good and what is not: of the videos, of the training and of the avatar."""
    parts = []
    for one in video_verdicts(work):
        link = html.escape(one.page.relative_to(work.path).as_posix())
        page = f' <a href="{link}">Report of the tracking</a>' if one.page.is_file() else ""
        parts.append(
            f'<div class="verdict {TONES.get(one.word, "weak")}">'
            f"<p><strong>Video {html.escape(one.line())}.</strong>{page}</p>"
            f"{_listing(one.advice)}</div>"
        )
    notes = [str(work.plan.get("note", ""))]
    for last in _validations(work)[-1:]:
        notes += last.get("warnings", [])
    if fidelity.refinement.get("kept") is False:
        notes.append("the refinement on the frames is not better and was left out")
    met = "every tolerance of the export is met" if fidelity.passed else "it misses tolerances"
    tone = "good" if fidelity.passed and not any(notes) else "weak"
    lines = [held_out_line(work), *fidelity.problems().split("; "), *notes]
    parts.append(
        f'<div class="verdict {tone}"><p><strong>Avatar: {met}.</strong></p>'
        f"{_listing(filter(None, lines))}</div>"
    )
    return "".join(parts)


def _listing(lines: Iterable[str]) -> str:
    """A list; empty for no lines."""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _pictures(work: CreateFolder) -> str:
    """Training frames, then held-out frames, clip above avatar."""
    total = work.frames()
    held_out = held_out_frames(total)
    training = np.linspace(0, total - held_out - 1, PICTURES).round().astype(int)
    unseen = np.linspace(total - held_out, total - 1, min(PICTURES, held_out)).round().astype(int)
    parts = [("Training frames, the clip above the avatar", _figures(work, training))]
    if len(work.tracks()) == 1:  # the preview plays the first video alone
        parts.append(("Held-out frames, the clip above the avatar", _figures(work, unseen)))
    return "".join(_section(title, figures) for title, figures in parts)


def _figures(work: CreateFolder, indices: Iterable[Any]) -> str:
    unique = sorted({int(index) for index in indices})
    count = len(json.loads(work.tracks()[0].read_text(encoding="utf-8"))["frames"])
    figures = pairs(work.tracks()[0], work.preview, [index for index in unique if index < count])
    images = (
        f'<figure><img src="{jpeg_address(marked_jpeg(encode_jpeg(picture, QUALITY)))}" alt="">'
        "</figure>"
        for picture in figures
    )
    return f'<div class="row">{"".join(images)}</div>' if figures else ""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells after the first are numbers."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr><td>{html.escape(row[0])}</td>"
        + "".join(f'<td class="number">{html.escape(cell)}</td>' for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>" if body else ""


def _stages(work: CreateFolder) -> str:
    planned = work.plan.get("expected", {})
    minutes = work.minutes()
    rows = [
        (name, f"{planned[name]:.1f}" if name in planned else "", f"{actual:.1f}")
        for name, actual in minutes.items()
    ]
    late = comparison(planned, minutes)[1:]
    return _table(("stage", "planned", "minutes"), rows) + _listing(late)


def _tracking(work: CreateFolder) -> str:
    parts = []
    for track in work.tracks():
        folder = track.parent
        about = read_json(folder / "track.json")
        if about:
            dropped = about.get("dropped", [])
            reasons = sorted({str(frame.get("reason")) for frame in dropped})
            parts.append(
                f"<p>{html.escape(str(about.get('video', folder.name)))}: "
                f"{len(about.get('names', ()))} frames; {len(dropped)} left out"
                + (f" ({html.escape(', '.join(reasons))})" if reasons else "")
                + f"; focal length: {html.escape(str(about.get('focal_source', '')))}.</p>"
            )
            parts.append(_listing(map(str, about.get("notes", ()))))
    return "".join(parts)


def _training(work: CreateFolder) -> str:
    rows = _validations(work)
    if not rows:
        return ""
    table = _table(
        ("step", "minutes", "PSNR, dB", "RGB L1", "mask IoU"),
        [
            (
                str(row["step"]),
                f"{row['minutes']:.1f}",
                *(f"{row[name]:.4g}" for name in ("psnr", "l1", "iou")),
            )
            for row in rows
        ],
    )
    preset = html.escape(str(work.plan.get("preset", "")))
    return f"<p>Preset {preset}, measured on training frames.</p>{table}"


def _validations(work: CreateFolder) -> list[dict[str, Any]]:
    """The validations of the training; none where there is no log of it."""
    file = work.run / "validation.jsonl"
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _held_out(work: CreateFolder) -> str:
    document = read_json(work.held_out / "report.json")
    rows = [
        (f"{name}, {row['unit']}" if row.get("unit") else name, f"{row['mean']:.4g}")
        for name, row in metrics(document)
    ]
    link = (work.held_out / "report.md").relative_to(work.path).as_posix()
    return (
        "<p>The avatar as it plays, on the last frames of the clip, which training has not used. "
        f'<a href="{html.escape(link)}">Every frame</a></p>{_table(("metric", "mean"), rows)}'
        if rows
        else ""
    )


def _refinement(job: CreateJob, fidelity: FidelityReport) -> str:
    """The students before and after the refinement, in pictures and figures."""
    facts = fidelity.refinement
    sheet = job.request.out / REFINED_SHEET
    if not facts or not sheet.is_file():
        return ""
    students = ("distilled", "refined")
    rows = [
        (name, *(_figure_of(facts.get(student, {}).get(key)) for student in students))
        for name, key in REFINED_MEASURES
    ]
    kept = "refined" if facts.get("kept") else "distilled: the refined one is not better"
    return (
        f"<p>On {html.escape(str(facts.get('held_out_frames', 0)))} frames that the fit has not "
        f"used: a frame, the distilled student, the refined one. The avatar is {kept}.</p>"
        f'<img class="sheet" src="{jpeg_address(sheet.read_bytes())}" alt="">'
        f"{_table(('mean', *students), rows)}"
    )


def _figure_of(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | int) else "not in view"


def _fidelity(report: FidelityReport) -> str:
    rows = [
        (
            f"{stage.start} → {stage.end}",
            name.replace("_", " "),
            f"{stage.measures[name]:.4g}",
            f"{limit:.4g}",
        )
        for stage in report.stages
        for name, limit in stage.limits.items()
        if name in stage.measures
    ]
    notes = [report.problems(), report.drift, *report.notes]
    table = _table(("stage", "measure", "value", "limit"), rows)
    return table + _listing(filter(None, notes))


def _consent(work: CreateFolder) -> str:
    try:
        consent = consent_of(work.consent)
    except InputError:
        return ""
    return (
        f"<p>Consent {html.escape(consent.line())}: {html.escape(consent.statement)}</p>"
        "<p>Videos, pictures and models of this avatar, and the pictures of this page, carry a "
        "machine-readable mark that the face is synthetic.</p>"
    )


def _commands(work: CreateFolder) -> str:
    lines = "\n".join(shlex.join(record.command) for record in work.stages.values())
    return f'<p class="note">Each can be run alone.</p><pre>{html.escape(lines)}</pre>'
