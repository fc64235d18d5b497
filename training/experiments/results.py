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

from ..evaluation.contact_sheet import Bytes, split_strip, stack, write_picture
from ..evaluation.contact_sheet import row as picture_row
from ..evaluation.markdown import cell as number
from ..evaluation.markdown import table
from ..evaluation.metric import Image
from .runs import ExperimentPlan, Trial, mean_over, nothing_finished

COLUMNS = ("mask IoU", "RGB L1", "normal cosine", "PSNR", "expression")
"""The metrics of the paper's tables, and two more."""

BT709 = 1
"""Number of the BT.709 primaries and transfer curve in H.264 (ITU-T H.273).

Players guess the colour space of files that do not state it.
"""

COMPARED = ("mask IoU", "RGB L1", "normal cosine")
"""The metrics that are also listed subject by subject."""

NOT_RUN = "not run"
"""Cell of a trial that is not finished."""

Rows = Mapping[str, Mapping[str, Trial | None]]
"""The trials by the name of the table's row and by subject; None where a trial is not finished."""


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

    Raises:
        UsageError: no trial is finished.
    """
    finished = {row: _finished(trials) for row, trials in rows.items()}
    if not any(finished.values()):
        raise nothing_finished(plan)
    values = {
        row: {metric: mean_over(trials.values(), metric) for metric in COLUMNS}
        for row, trials in finished.items()
    }
    lines = [
        *facts(plan),
        *(f"- {note}" for note in notes),
        *_unfinished(rows),
        "",
        *_means(values, rows, published),
        *_by_subject(rows),
        "",
        f"![]({name}.png)",
    ]
    document = {
        "rows": {row: plain(columns) for row, columns in values.items()},
        "subjects": {
            row: {
                subject: plain({metric: trial.mean(metric) for metric in COLUMNS})
                for subject, trial in trials.items()
            }
            for row, trials in finished.items()
        },
    }
    if published is not None:
        document["published"] = dict(published)
    pages = write_pages(plan, name, heading, lines, document)
    return [*pages, write_png(plan.out / f"{name}.png", _sheet(finished))]


def _finished(trials: Mapping[str, Trial | None]) -> dict[str, Trial]:
    return {subject: trial for subject, trial in trials.items() if trial is not None}


def _unfinished(rows: Rows) -> list[str]:
    """A line that names the trials that are not finished; none if all are."""
    missing = []
    for name, trials in rows.items():
        subjects = [subject for subject, trial in trials.items() if trial is None]
        if len(subjects) == len(trials):
            missing.append(name)
        elif subjects:
            missing.append(f"{name} on {', '.join(subjects)}")
    if not missing:
        return []
    return [
        f"- {NOT_RUN}: {'; '.join(missing)}. The means of a row are over its own subjects, so that "
        "rows of different subjects cannot be compared"
    ]


def _means(
    values: Mapping[str, Mapping[str, float]],
    rows: Rows,
    published: Mapping[str, float] | None,
) -> list[str]:
    """The table of means; a row that lacks subjects states their number."""
    lines = []
    for name, columns in values.items():
        count = len(_finished(rows[name]))
        share = "" if count == len(rows[name]) else f" ({count} of {len(rows[name])} subjects)"
        cells = [number(value) if count else NOT_RUN for value in columns.values()]
        lines.append([f"{name}{share}", *cells])
    if published is not None:
        best = [number(published.get(metric)) for metric in COLUMNS]
        lines.append(["the paper's best column", *best])
    return table(["", *COLUMNS], lines)


def _by_subject(rows: Rows) -> list[str]:
    """A table of every compared metric, with a column for each subject; none for one subject."""
    subjects = list(next(iter(rows.values())))
    if len(subjects) < 2:
        return []
    lines = []
    for metric in COMPARED:
        cells = [
            [row, *(number(trial.mean(metric)) if trial else NOT_RUN for trial in trials.values())]
            for row, trials in rows.items()
        ]
        lines += ["", *table([metric, *subjects], cells)]
    return lines


def facts(
    plan: ExperimentPlan, run: Path | None = None, *, subjects: Sequence[str] | None = None
) -> list[str]:
    """Lines about subjects, frames and lengths of an experiment.

    Args:
        run: the avatar, if the experiment trained none.
        subjects: those of the results; None for all of the plan.
    """
    names = ", ".join(plan.subjects if subjects is None else subjects)
    about = f"{plan.size} x {plan.size} pixels; seed {plan.seed}"
    test = f"{plan.test_frames or 'all'} frames of strong unseen expressions to test"
    if run is not None:
        return [
            f"- subjects: {names}; {test}; {about}",
            f"- avatar: {run}, trained before",
        ]
    schedule = plan.base.schedule
    layers = plan.base.networks.geometry_layers
    length = f"{schedule.steps} steps" if schedule.steps else f"{schedule.epochs} epochs"
    length += f" or {schedule.minutes:g} minutes, whichever is less" if schedule.minutes else ""
    return [
        f"- subjects: {names}; {plan.frames or 'all'} frames to train on, {test}; {about}",
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


def _sheet(rows: Mapping[str, Mapping[str, Trial]]) -> Bytes:
    """For every subject the test frame that the first row renders worst, as every row renders it.

    Truth and renders are side by side, colours above normals.
    """
    pictures: dict[str, Bytes] = {}
    for subject in dict.fromkeys(name for trials in rows.values() for name in trials):
        trials = {row: trials[subject] for row, trials in rows.items() if subject in trials}
        first = next(iter(trials.values()))
        scores = [-math.inf if math.isnan(value) else value for value in first.column("PSNR")]
        index = scores.index(min(scores))
        frame = f"{subject}, frame {first.document['frames'][index]['name']}"
        tiles = {name: split_strip(trial.strip(index)) for name, trial in trials.items()}
        truth = split_strip(first.strip(index))
        captions = ["truth", *tiles]
        for kind, true, rendered in (("colours", 0, 1), ("normals", 3, 4)):
            if all(len(parts) > rendered for parts in tiles.values()):
                images = [truth[true], *(parts[rendered] for parts in tiles.values())]
                pictures[f"{frame}, {kind}"] = picture_row(images, captions)
    return stack(list(pictures.values()), list(pictures))


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
