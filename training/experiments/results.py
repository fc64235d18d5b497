"""Writes an experiment's results as Markdown, JSON, pictures and videos."""

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
"""The metrics of the paper's tables, and two more."""

BT709 = 1
"""Number of the BT.709 primaries and transfer curve in H.264 (ITU-T H.273).

Players guess the colour space of files that do not state it.
"""

Rows = Mapping[str, list[Trial]]
"""The trials of every subject, by the name of the table's row."""


# Tables


def write_comparison(
    plan: ExperimentPlan,
    name: str,
    heading: str,
    rows: Rows,
    notes: Sequence[str],
    published: Mapping[str, float] | None = None,
) -> list[Path]:
    """Write a table of means over subjects and test frames, and a picture of one test frame.

    Args:
        name: of the files `NAME.md`, `NAME.json` and `NAME.png`.
        heading: of the Markdown page.
        rows: the trials to compare.
        notes: lines above the table.
        published: the paper's row, by metric.

    Returns:
        The files.
    """
    values = {
        row: {metric: mean_over(trials, metric) for metric in COLUMNS}
        for row, trials in rows.items()
    }
    lines_of_table = [
        [row, *(number(value) for value in columns.values())] for row, columns in values.items()
    ]
    if published is not None:
        lines_of_table.append(
            ["the paper's best column", *(number(published.get(metric)) for metric in COLUMNS)]
        )
    lines = [
        *facts(plan),
        *(f"- {note}" for note in notes),
        "",
        *table(["", *COLUMNS], lines_of_table),
        "",
        f"![]({name}.png)",
    ]
    document = {
        "rows": {row: plain(columns) for row, columns in values.items()},
        "subjects": {
            row: [trial.document["title"] for trial in trials] for row, trials in rows.items()
        },
    }
    if published is not None:
        document["published"] = dict(published)
    pages = write_pages(plan, name, heading, lines, document)
    return [*pages, write_png(plan.out / f"{name}.png", _hardest(rows))]


def facts(plan: ExperimentPlan, run: Path | None = None) -> list[str]:
    """Lines about subjects, frames and lengths of an experiment.

    Args:
        run: the avatar, if the experiment trained none.
    """
    about = f"{plan.size} x {plan.size} pixels; seed {plan.seed}"
    test = f"{plan.test_frames or 'all'} frames of strong unseen expressions to test"
    if run is not None:
        return [
            f"- subjects: {', '.join(plan.subjects)}; {test}; {about}",
            f"- avatar: {run}, trained before",
        ]
    schedule = plan.base.schedule
    layers = plan.base.networks.geometry_layers
    length = f"{schedule.steps} steps" if schedule.steps else f"{schedule.epochs} epochs"
    length += f" or {schedule.minutes:g} minutes, whichever is less" if schedule.minutes else ""
    return [
        f"- subjects: {', '.join(plan.subjects)}; {plan.frames or 'all'} frames to train on, "
        f"{test}; {about}",
        f"- each avatar trained for {length}, {len(layers)} x {layers[0]} networks "
        "(the paper's: 60 epochs, 8 x 512)",
    ]


def write_pages(
    plan: ExperimentPlan, name: str, heading: str, lines: Sequence[str], document: Mapping[str, Any]
) -> list[Path]:
    """Write `NAME.md` and `NAME.json` into the plan's folder.

    Args:
        lines: of the Markdown page, below its heading.
        document: entries of the JSON file besides the plan's.
    """
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
    markdown = plan.out / f"{name}.md"
    data = plan.out / f"{name}.json"
    with atomic_file(markdown) as partial:
        partial.write_text("\n".join([f"# {heading}", "", *lines]) + "\n", encoding="utf-8")
    with atomic_file(data) as partial:
        partial.write_text(json.dumps({**about, **document}, indent=2) + "\n", encoding="utf-8")
    return [markdown, data]


def write_png(path: Path, picture: Bytes) -> Path:
    """Write a picture atomically."""
    with atomic_file(path) as partial:
        write_picture(partial, picture)
    return path


def plain(values: Mapping[str, float]) -> dict[str, float | None]:
    """Replace NaN and infinity, which JSON lacks, by None."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _hardest(rows: Rows) -> Bytes:
    """The test frame that the first row renders worst, as every row renders it."""
    first = next(iter(rows.values()))[0]
    scores = [-math.inf if math.isnan(value) else value for value in first.column("PSNR")]
    index = scores.index(min(scores))
    name = first.document["frames"][index]["name"]
    return stack(
        [trials[0].strip(index) for trials in rows.values()],
        [f"{row}, frame {name}" for row in rows],
    )


# Videos


def write_film(path: Path, images: Iterable[Image], *, size: int, fps: int) -> Path:
    """Write images `[size, size, 3]` in 0..1 as an H.264 video, which browsers and slides play.

    H.264 requires even sides: images of an odd size get a white edge.
    """
    even = size + size % 2
    with atomic_file(path) as partial, av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.width = even
        stream.height = even
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "18"}
        context = stream.codec_context
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU709
        context.color_primaries = BT709
        context.color_trc = BT709
        for image in images:
            pixels = np.full((even, even, 3), 255, dtype=np.uint8)
            pixels[:size, :size] = np.round(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            converted = frame.reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            container.mux(stream.encode(converted))
        container.mux(stream.encode())
    return path
