"""write_gallery: a page with the frames of the fidelity report, a column for each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.fidelity.stage_metrics import (
    BROWSER,
    METRICS,
    REFINED,
    WORST_PREFIX,
    FrameImages,
    StageReport,
    row_of,
)
from imavatar_deploy.marking import TERM, marked_png

FOLDER = "report"
"""The folder inside an avatar folder."""

PAGE = "index.html"

AMPLIFICATION = 8.0
"""Factor of the differences: 1/32 of the range becomes a quarter."""

IMPLICIT = "implicit"

COLUMNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "implicit": ("implicit", (IMPLICIT,)),
    "full": ("full network", ("onnx", "baked")),
    "student": ("student", ("student",)),
    "refined": ("refined", (REFINED,)),
    "browser": ("browser", (BROWSER,)),
}
"""Column -> its title, and the stages of which the first one that ran is shown."""

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 75rem; padding: 0 1rem;
  color: light-dark(#222, #ddd); background: light-dark(#fff, #1a1a1a); }
.columns { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); }
figure { margin: 0; } img { width: 100%; height: auto; display: block; background: #fff; }
dl { font-size: .85rem; margin: 0; } dt { float: left; margin-right: .5em; } dd { margin: 0; }
figcaption, .absent { font-size: .85rem; color: light-dark(#555, #aaa); }
"""


def write_gallery(
    folder: Path,
    frames: Sequence[str],
    images: Mapping[str, Sequence[FrameImages]],
    reports: Mapping[str, StageReport],
    *,
    synthetic_mark: bool = True,
) -> None:
    """Write the page and its pictures; those of an earlier call are replaced.

    Args:
        folder: the avatar folder.
        frames: descriptions of the frames.
        images: stage -> its frames; a stage that was not run is absent.
        reports: stage -> its figures, or why it was not run.
        synthetic_mark: whether page and pictures carry the mark of `imavatar_deploy.marking`.
    """
    target = folder / FOLDER
    target.mkdir(exist_ok=True)
    columns = {
        name: next((stage for stage in stages if stage in images), "")
        for name, (_, stages) in COLUMNS.items()
    }
    sections = [_figures(columns, reports)]
    for number, frame in enumerate(frames):
        cells = []
        for name, stage in columns.items():
            if not stage:
                cells.append(_absent(name, reports))
                continue
            picture = f"{number}_{name}.png"
            _write(target / picture, images[stage][number].rgb, synthetic_mark)
            title = COLUMNS[name][0]
            cell = _image(picture, f"{title}, {frame}", title)
            if stage != IMPLICIT:
                start = _start(reports.get(stage), images)
                difference = f"{number}_{name}_difference.png"
                pixels = np.abs(images[stage][number].rgb - images[start][number].rgb)
                _write(target / difference, AMPLIFICATION * pixels, synthetic_mark)
                caption = f"difference from {start}, {AMPLIFICATION:g} times"
                cell += _image(difference, f"{caption}: {title}, {frame}", caption)
            cells.append(f"<div>{cell}</div>")
        sections.append(_section(frame, "", cells))
    mark = f'<meta name="digitalSourceType" content="{TERM}">\n' if synthetic_mark else ""
    body = "\n".join(sections)
    (target / PAGE).write_text(
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{mark}<title>Fidelity report</title>\n<style>{STYLE}</style>\n"
        f"<main>\n<h1>Fidelity report</h1>\n{body}\n</main>\n</html>\n",
        encoding="utf-8",
    )


def _start(report: StageReport | None, images: Mapping[str, Sequence[FrameImages]]) -> str:
    """The stage from which differences are taken: that of the figures, if it has these frames."""
    return report.start if report is not None and report.start in images else IMPLICIT


def _figures(columns: Mapping[str, str], reports: Mapping[str, StageReport]) -> str:
    """The figures of every column."""
    cells = []
    for name, stage in columns.items():
        if name == IMPLICIT:
            text = '<p class="absent">the reference</p>'
        elif not stage:
            text = f'<p class="absent">{escape(_reason(name, reports))}</p>'
        else:
            text = _values(reports[stage])
        cells.append(f"<div><h3>{COLUMNS[name][0]}</h3>{text}</div>")
    note = "Each figure is the median of the frames, and the worst frame in parentheses."
    return _section("Figures", f"<p>{note}</p>", cells)


def _section(title: str, text: str, cells: Sequence[str]) -> str:
    columns = "\n".join(cells)
    return (
        f"<section><h2>{escape(title)}</h2>\n{text}\n"
        f'<div class="columns">\n{columns}\n</div></section>'
    )


def _values(report: StageReport) -> str:
    rows = "".join(
        f"<dt>{escape(row_of(name).title)}</dt><dd>{escape(report.value_text(name))} "
        f"({escape(report.value_text(WORST_PREFIX + name))})</dd>"
        for name in METRICS
        if name in report.measures
    )
    return f'<p class="absent">from {escape(report.start)}</p><dl>{rows}</dl>'


def _reason(name: str, reports: Mapping[str, StageReport]) -> str:
    """Why a column is empty."""
    reasons = [reports[stage].not_run for stage in COLUMNS[name][1] if stage in reports]
    return f"not run: {reasons[0]}" if reasons and reasons[0] else "not run"


def _absent(name: str, reports: Mapping[str, StageReport]) -> str:
    title = COLUMNS[name][0]
    return f'<div class="absent">{title}: {escape(_reason(name, reports))}</div>'


def _image(picture: str, text: str, caption: str) -> str:
    return (
        f'<figure><img src="{picture}" alt="{escape(text)}" loading="lazy">'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )


def _write(path: Path, image: Float32[Array, "H W 3"], synthetic_mark: bool) -> None:
    """Write colours in 0..1 as a PNG."""
    pixels = np.rint(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)
    _, png = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))
    data = png.tobytes()
    path.write_bytes(marked_png(data) if synthetic_mark else data)
