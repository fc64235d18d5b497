"""write_gallery: a page with the frames of the fidelity report, a column for each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32
from imavatar_deploy.fidelity.held_out_frames import HELD_OUT
from imavatar_deploy.fidelity.stage_metrics import (
    BROWSER,
    METRICS,
    REFINED,
    STAGES_WITH_LIMITS,
    WORST_PREFIX,
    FrameImages,
    StageReport,
    row_of,
    value_with_unit,
)
from imavatar_deploy.jpeg import encode_jpeg
from imavatar_deploy.marking import STATEMENT, TERM, marked_jpeg

from ...fidelity.failure_images import AMPLIFICATION, difference

FOLDER = "report"
"""The folder inside an avatar folder."""

PAGE = "index.html"

LARGEST_SIDE = 512
"""Largest side of a picture, pixels; larger frames are reduced."""

QUALITY = 92
"""JPEG quality of the pictures."""

MOUTH_PREFIX = "mouth_"
"""Before the name of a metric: of the mouth region alone."""

IMPLICIT = "implicit"

DISTILLED = "student"

COLUMNS: dict[str, str] = {
    IMPLICIT: "the reference",
    "baked": "full texture network",
    DISTILLED: "in the player",
    REFINED: "in the player",
    BROWSER: "in Chromium",
}
"""Stage of a column, which is its title -> caption of its pictures, short enough for one line."""

NOT_RUN = {
    DISTILLED: "no student among these formats",
    REFINED: "no refinement (--refine), or one that was no better than the student",
    BROWSER: "the format web is not among the formats (--format report,web)",
}
"""Stage -> why it was not run, where it has no report."""

FIGURES = ("psnr", "iou", "normal_angle")
"""Metrics under a picture."""

POSES_TEXT = (
    "Faces and views to look at; no limits apply to them. Where no camera saw the head, as from "
    "behind, the networks invent a surface that the export replaces, so that baked differs from "
    "implicit there."
)

REFERENCE_TEXT = "The frames from which the figures of the stages are computed, in their size."

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 80rem; padding: 0 1rem;
  color: light-dark(#222, #ddd); background: light-dark(#fff, #1a1a1a); overflow-wrap: anywhere; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2rem; } h3 { font-size: 1rem; margin: 0 0 .25rem; }
.columns { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(14rem, 45%), 1fr)); }
figure { margin: 0 0 .5rem; } img { width: 100%; height: auto; display: block; background: #fff; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0 .5rem; margin: 0; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
.columns dl { font-size: .85rem; } .columns dt { font-weight: 400; }
.columns dl { grid-template-columns: minmax(0, auto) 1fr; } .columns dd { white-space: nowrap; }
figcaption, .absent, small { font-size: .85rem; color: light-dark(#555, #aaa); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; overflow-wrap: normal; }
th, td { border-bottom: 1px solid light-dark(#ccc, #444); padding: .25rem .75rem .25rem 0;
  text-align: left; vertical-align: top; white-space: nowrap; }
td.reason { white-space: normal; } small { display: block; }
.missed { color: light-dark(#b00020, #ff8a80); font-weight: 600; }
"""


@dataclass(frozen=True)
class HeldOutImages:
    """Photographs that a refinement did not use, and the students that were drawn beside them."""

    photographs: Sequence[FrameImages]
    students: Mapping[str, Sequence[FrameImages]]
    """Stage (`student`, `refined`) -> a frame for each photograph."""


@dataclass(frozen=True)
class PoseImages:
    """Named poses, drawn by the stages."""

    names: Sequence[str]
    """Titles of the T poses."""
    images: Mapping[str, Sequence[FrameImages]]
    """Stage -> its T frames."""
    left_out: Sequence[Bool[Array, "H W"]]
    """T masks, as in a `Gallery`."""
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """Title of a pose that this avatar cannot have -> the reason."""


@dataclass(frozen=True)
class Gallery:
    """What the page shows of an export."""

    name: str
    """Of the avatar."""
    facts: Mapping[str, str]
    """Name -> value: the list below the heading."""
    frames: Sequence[str]
    """Descriptions of the T reference frames."""
    images: Mapping[str, Sequence[FrameImages]]
    """Stage -> its T frames; a stage that was not run is absent."""
    reports: Mapping[str, StageReport]
    """Stage -> its figures, or why it was not run."""
    left_out: Sequence[Bool[Array, "H W"]]
    """T masks of the pixels that a comparison with the implicit frames does not count."""
    held_out: HeldOutImages | None = None
    """None without a refinement."""
    poses: PoseImages | None = None
    """None for a page of the reference frames alone."""


def write_gallery(folder: Path, gallery: Gallery, *, synthetic_mark: bool = True) -> None:
    """Write the page and its pictures; those of an earlier call are replaced.

    Args:
        folder: the avatar folder.
        gallery: what the page shows.
        synthetic_mark: whether page and pictures carry the mark of `imavatar_deploy.marking`.
    """
    target = folder / FOLDER
    target.mkdir(exist_ok=True)
    writer = _Writer(target, synthetic_mark)
    sections = [_stages_table(gallery)]
    if gallery.poses is not None:
        sections += _pose_sections(writer, gallery, gallery.poses)
    sections += [_frame_section(writer, gallery, number) for number in range(len(gallery.frames))]
    if gallery.held_out is not None:
        sections += _held_out_sections(writer, gallery.held_out)
    mark = f'<meta name="digitalSourceType" content="{TERM}">\n' if synthetic_mark else ""
    statement = f"<p><strong>{escape(STATEMENT)}</strong></p>\n" if synthetic_mark else ""
    title = f"Fidelity report: {escape(gallery.name)}"
    rows = (
        f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in gallery.facts.items()
    )
    facts = "\n".join(rows)
    body = "\n".join(sections)
    (target / PAGE).write_text(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{mark}<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<header>\n"
        f"<h1>{title}</h1>\n{statement}<dl>\n{facts}\n</dl>\n</header>\n"
        f"<main>\n{body}\n</main>\n</body>\n</html>\n",
        encoding="utf-8",
    )


@dataclass(frozen=True)
class _Writer:
    """Writes pictures into the folder of the page."""

    folder: Path
    synthetic_mark: bool

    def picture(
        self,
        name: str,
        image: Float32[Array, "H W 3"],
        text: str,
        caption: str,
        *,
        photo: bool = False,
    ) -> str:
        """Write colours in 0..1 as a JPEG; return the figure that shows it.

        Args:
            name: file, without its suffix.
            text: alternative text.
            photo: whether it is a photograph, which carries no mark.
        """
        pixels = np.rint(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)
        if max(pixels.shape[:2]) > LARGEST_SIDE:
            scale = LARGEST_SIDE / max(pixels.shape[:2])
            reduced = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            pixels = np.asarray(reduced, dtype=np.uint8)
        jpeg = encode_jpeg(pixels, QUALITY)
        marked = self.synthetic_mark and not photo
        (self.folder / f"{name}.jpg").write_bytes(marked_jpeg(jpeg) if marked else jpeg)
        height, width = pixels.shape[:2]
        return (
            f'<figure><img src="{name}.jpg" alt="{escape(text)}" width="{width}" '
            f'height="{height}" loading="lazy"><figcaption>{escape(caption)}</figcaption></figure>'
        )

    def comparison(
        self, name: str, text: str, caption: str, start: str, pair: tuple[FrameImages, FrameImages]
    ) -> str:
        """Write an image and its difference from another; return both figures."""
        before, after = pair
        scale = f"difference from {start}, x{AMPLIFICATION:g}"
        return self.picture(name, after.rgb, text, caption) + self.picture(
            f"{name}_difference", difference(before, after), f"{scale}: {text}", scale
        )


def _pose_sections(writer: _Writer, gallery: Gallery, poses: PoseImages) -> list[str]:
    """The named poses, those that the avatar cannot have, and a heading for the other frames."""
    missing = "".join(
        f"<dt>{escape(title)}</dt><dd>not available: {escape(reason)}</dd>"
        for title, reason in poses.unavailable.items()
    )
    intro = (
        f"<section><h2>Named poses</h2>\n<p>{POSES_TEXT}</p>\n"
        f"{f'<dl>{missing}</dl>' if missing else ''}</section>"
    )
    shown = replace(
        gallery, frames=poses.names, images=poses.images, left_out=poses.left_out, poses=None
    )
    sections = [
        _frame_section(writer, shown, number, "pose_") for number in range(len(poses.names))
    ]
    rest = f"<section><h2>Reference frames</h2>\n<p>{REFERENCE_TEXT}</p></section>"
    return [intro, *sections, rest]


def _frame_section(writer: _Writer, gallery: Gallery, number: int, prefix: str = "") -> str:
    """A frame in every column, with its differences and figures.

    Args:
        prefix: of the names of its pictures.
    """
    frame = gallery.frames[number]
    cells = []
    for stage, caption in COLUMNS.items():
        if stage not in gallery.images:
            cells.append(f'<h3>{stage}</h3><p class="absent">{escape(_reason(stage, gallery))}</p>')
            continue
        name, image = f"{prefix}{number}_{stage}", gallery.images[stage][number]
        if stage == IMPLICIT:
            picture = writer.picture(name, image.rgb, f"{stage}, {frame}", caption)
            cells.append(f"<h3>{stage}</h3>{picture}")
            continue
        start = _start(stage, gallery)
        before = gallery.images[start][number]
        rows = _figures(before, image, gallery.left_out[number] if start == IMPLICIT else None)
        if start != IMPLICIT:
            reference = gallery.images[IMPLICIT][number]
            psnr = _figures(reference, image, gallery.left_out[number])["PSNR"]
            rows["PSNR from implicit"] = psnr
        pictures = writer.comparison(name, f"{stage}, {frame}", caption, start, (before, image))
        cells.append(f"<h3>{stage}</h3>{pictures}{_list(rows)}")
    return _section(frame, cells)


def _held_out_sections(writer: _Writer, held_out: HeldOutImages) -> list[str]:
    """Photographs beside the students that were drawn with their poses and cameras."""
    sections = []
    for number, photograph in enumerate(held_out.photographs):
        frame = f"Held-out image {number + 1}"
        name = f"held_out_{number}"
        picture = writer.picture(name, photograph.rgb, f"photograph, {frame}", HELD_OUT, photo=True)
        cells = [f"<h3>photograph</h3>{picture}"]
        for stage, frames in held_out.students.items():
            pair, text = (photograph, frames[number]), f"{stage}, {frame}"
            pictures = writer.comparison(
                f"{name}_{stage}", text, COLUMNS[stage], "the photograph", pair
            )
            cells.append(f"<h3>{stage}</h3>{pictures}{_list(_figures(*pair, None))}")
        sections.append(_section(frame, cells))
    return sections


def _start(stage: str, gallery: Gallery) -> str:
    """The stage from which differences are taken: that of the figures, if it has these frames."""
    start = gallery.reports[stage].start if stage in gallery.reports else IMPLICIT
    return start if start in gallery.images else IMPLICIT


def _figures(
    before: FrameImages, after: FrameImages, left_out: Bool[Array, "H W"] | None
) -> dict[str, str]:
    """The metrics of `FIGURES` in one frame, by their titles; undefined ones are absent."""
    if left_out is not None:
        before = before._replace(mask=before.mask & ~left_out)
        after = after._replace(mask=after.mask & ~left_out)
    values = {name: METRICS[name].of(before, after, before.mask) for name in FIGURES}
    return {
        METRICS[name].title: value_with_unit(name, value)
        for name, value in values.items()
        if not np.isnan(value)
    }


def _left_out_text(gallery: Gallery) -> str:
    """A sentence about the pixels that differences show and figures leave out, if there are any."""
    sets = [gallery.left_out, *([gallery.poses.left_out] if gallery.poses else [])]
    if not any(mask.any() for masks in sets for mask in masks):
        return ""
    return (
        " Differences from implicit also show the parts of mouth and eyes, which the implicit "
        "avatar does not have; the figures leave these pixels out."
    )


def _stages_table(gallery: Gallery) -> str:
    """The fidelity report: figures and limits of every stage."""
    head = "".join(f'<th scope="col">{escape(row.title)}</th>' for row in METRICS.values())
    names = [name for name in STAGES_WITH_LIMITS if name in gallery.reports or name in COLUMNS]
    rows = "\n".join(_table_row(name, gallery) for name in names)
    return (
        "<section><h2>Stages</h2>\n<p>Each figure is the median of the frames, with the worst "
        "frame in parentheses; below it, the limits. Under the pictures are the figures of one "
        f"frame. In the differences, amplified {AMPLIFICATION:g} times, red is what only the "
        f"reference shows and blue what only the export shows.{_left_out_text(gallery)}</p>\n"
        '<div class="scroll" tabindex="0" role="region" aria-label="Figures of the stages">\n'
        f'<table><thead><tr><th scope="col">stage</th>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div></section>"
    )


def _table_row(name: str, gallery: Gallery) -> str:
    report = gallery.reports.get(name)
    if report is None or report.not_run:
        reason = escape(_reason(name, gallery))
        return (
            f'<tr><th scope="row">{escape(name)}</th>'
            f'<td class="reason absent" colspan="{len(METRICS)}">{reason}</td></tr>'
        )
    values = "".join(f"<td>{_cell(report, metric)}</td>" for metric in METRICS)
    start = f"<small>from {escape(report.start)}</small>"
    return f'<tr><th scope="row">{escape(name)}{start}</th>{values}</tr>'


def _cell(report: StageReport, metric: str) -> str:
    """Median, worst frame and limits of a metric."""
    if metric not in report.measures:
        frame_metric = metric.removeprefix(MOUTH_PREFIX)
        of_region = frame_metric != metric and frame_metric in report.measures
        return "not in view" if of_region else "not known"
    worst = WORST_PREFIX + metric
    text = escape(f"{report.value_text(metric)} ({report.value_text(worst)})")
    if {metric, worst} & set(report.misses()):
        text = f'<span class="missed">{text} MISSED</span>'
    bound = "at most" if row_of(metric).lower_is_better else "at least"
    limits = [report.limit_text(metric)] if metric in report.limits else []
    if worst in report.limits:
        limits.append(f"({report.limit_text(worst)})")
    return f"{text}<small>{bound} {escape(' '.join(limits))}</small>" if limits else text


def _reason(stage: str, gallery: Gallery) -> str:
    """Why a stage has no frames."""
    report = gallery.reports.get(stage)
    reason = report.not_run if report is not None else NOT_RUN.get(stage, "")
    return f"not run: {reason}" if reason else "not run"


def _section(title: str, cells: Sequence[str]) -> str:
    columns = "\n".join(f"<div>{cell}</div>" for cell in cells)
    return f'<section><h2>{escape(title)}</h2>\n<div class="columns">\n{columns}\n</div></section>'


def _list(rows: Mapping[str, str]) -> str:
    entries = "".join(
        f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in rows.items()
    )
    return f"<dl>{entries}</dl>"
