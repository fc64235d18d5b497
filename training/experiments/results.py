"""Outcome: an experiment's results as Markdown, JSON and pictures, each written whole."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from imavatar_deploy.atomic import atomic_file

from ..evaluation.contact_sheet import Bytes, stack, write_picture
from ..evaluation.markdown import cell as number
from ..evaluation.markdown import table
from ..evaluation.metric import Image
from .runs import ExperimentPlan, Trial, mean_over

COLUMNS = ("mask IoU", "RGB L1", "normal cosine", "PSNR", "expression")
"""The metrics of the paper's tables, and two that cost nothing."""

Rows = Mapping[str, list[Trial]]
"""What a table compares: the cells of every subject, by the row's name."""


def write_comparison(
    plan: ExperimentPlan,
    name: str,
    heading: str,
    rows: Rows,
    notes: Sequence[str],
    published: Mapping[str, float] | None = None,
) -> list[Path]:
    """A table of means over subjects and test frames, and one test frame of every row; returns what was written.

    Args:
        name: of the files: `NAME.md`, `NAME.json`, `NAME.png`.
        published: the paper's own row, by metric.
    """
    values = {
        row: {metric: mean_over(cells, metric) for metric in COLUMNS} for row, cells in rows.items()
    }
    shown = [
        [row, *(number(value) for value in columns.values())] for row, columns in values.items()
    ]
    if published is not None:
        shown.append(
            ["the paper's best column", *(number(published.get(metric)) for metric in COLUMNS)]
        )
    lines = [
        *facts(plan),
        *(f"- {note}" for note in notes),
        "",
        *table(["", *COLUMNS], shown),
        "",
        f"![]({name}.png)",
    ]
    document = {
        "rows": {row: plain(columns) for row, columns in values.items()},
        "subjects": {
            row: [cell.document["title"] for cell in cells] for row, cells in rows.items()
        },
    }
    if published is not None:
        document["published"] = dict(published)
    pages = write_pages(plan, name, heading, lines, document)
    return [*pages, write_png(plan.out / f"{name}.png", _hardest(rows))]


def facts(plan: ExperimentPlan, run: Path | None = None) -> list[str]:
    """Lines that say how large the experiment was.

    Args:
        run: the avatar that was looked at, where none was trained.
    """
    about = f"{plan.size} x {plan.size} pixels; seed {plan.seed}"
    tested = f"{plan.test_frames or 'all'} frames of strong unseen expressions to test"
    if run is not None:
        return [
            f"- subjects: {', '.join(plan.subjects)}; {tested}; {about}",
            f"- avatar: {run}, trained before",
        ]
    schedule, layers = plan.base.schedule, plan.base.networks.geometry_layers
    length = f"{schedule.steps} steps" if schedule.steps else f"{schedule.epochs} epochs"
    length += f" or {schedule.minutes:g} minutes, whichever is less" if schedule.minutes else ""
    return [
        f"- subjects: {', '.join(plan.subjects)}; {plan.frames or 'all'} frames to train on, {tested}; {about}",
        f"- each avatar trained for {length}, {len(layers)} x {layers[0]} networks (the paper's: 60 epochs, 8 x 512)",
    ]


def write_pages(
    plan: ExperimentPlan, name: str, heading: str, lines: Sequence[str], document: Mapping[str, Any]
) -> list[Path]:
    """`NAME.md` and `NAME.json` in the plan's folder."""
    schedule = plan.base.schedule
    about = {
        "experiment": name,
        "subjects": plan.subjects,
        "frames": plan.frames,
        "test_frames": plan.test_frames,
        "size": plan.size,
        "seed": plan.seed,
        "minutes": schedule.minutes,
        "steps": schedule.steps,
        "epochs": schedule.epochs,
    }
    markdown, data = plan.out / f"{name}.md", plan.out / f"{name}.json"
    with atomic_file(markdown) as partial:
        partial.write_text("\n".join([f"# {heading}", "", *lines]) + "\n", encoding="utf-8")
    with atomic_file(data) as partial:
        partial.write_text(json.dumps({**about, **document}, indent=2) + "\n", encoding="utf-8")
    return [markdown, data]


def write_png(path: Path, picture: Bytes) -> Path:
    """A picture, written whole."""
    with atomic_file(path) as partial:
        write_picture(partial, picture)
    return path


def plain(values: Mapping[str, float]) -> dict[str, float | None]:
    """Numbers for JSON, which has none for NaN."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _hardest(rows: Rows) -> Bytes:
    """The test frame that the first row renders worst, as every row renders it."""
    first = next(iter(rows.values()))[0]
    scores = [-math.inf if math.isnan(value) else value for value in first.column("PSNR")]
    index = scores.index(min(scores))
    name = first.document["frames"][index]["name"]
    return stack(
        [cells[0].strip(index) for cells in rows.values()], [f"{row}, frame {name}" for row in rows]
    )


# Film: frames as an H.264 video that browsers and slides can play.


BT709 = 1
"""Number of the BT.709 primaries and transfer curve in H.264 (ITU-T H.273); players guess where nothing says."""


def write_film(path: Path, images: Iterable[Image], *, size: int, fps: int) -> Path:
    """Write square images `[size, size, 3]` in 0..1; H.264 wants even sides, so an odd image gets a white edge."""
    even = size + size % 2
    with atomic_file(path) as partial, av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = even, even, "yuv420p"
        stream.options = {"crf": "18"}
        context = stream.codec_context
        context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU709
        context.color_primaries = context.color_trc = BT709
        for image in images:
            pixels = np.full((even, even, 3), 255, dtype=np.uint8)
            pixels[:size, :size] = np.round(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            told = frame.reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            container.mux(stream.encode(told))
        container.mux(stream.encode())
    return path
