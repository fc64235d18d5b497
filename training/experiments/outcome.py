"""Outcome: an experiment's results as Markdown, JSON and pictures, each written whole."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imavatar_deploy.atomic import atomic_file

from ..evaluation.contact_sheet import Bytes, stack, write_picture
from ..evaluation.markdown import cell as number
from ..evaluation.markdown import table
from .cell import Cell, mean_over
from .plan import Plan

COLUMNS = ("mask IoU", "RGB L1", "normal cosine", "PSNR", "expression")
"""The metrics of the paper's tables, and two that cost nothing."""

Rows = Mapping[str, list[Cell]]
"""What a table compares: the cells of every subject, by the row's name."""


def write_comparison(
    plan: Plan, name: str, heading: str, rows: Rows, notes: Sequence[str], published: Mapping[str, float] | None = None
) -> list[Path]:
    """A table of means over subjects and test frames, and one test frame of every row; returns what was written.

    Args:
        name: of the files: `NAME.md`, `NAME.json`, `NAME.png`.
        published: the paper's own row, by metric.
    """
    values = {row: {metric: mean_over(cells, metric) for metric in COLUMNS} for row, cells in rows.items()}
    shown = [[row, *(number(value) for value in columns.values())] for row, columns in values.items()]
    if published is not None:
        shown.append(["the paper's best column", *(number(published.get(metric)) for metric in COLUMNS)])
    lines = [*facts(plan), *(f"- {note}" for note in notes), "", *table(["", *COLUMNS], shown), "", f"![]({name}.png)"]
    document = {
        "rows": {row: plain(columns) for row, columns in values.items()},
        "subjects": {row: [cell.document["title"] for cell in cells] for row, cells in rows.items()},
    }
    if published is not None:
        document["published"] = dict(published)
    pages = write_pages(plan, name, heading, lines, document)
    return [*pages, write_png(plan.out / f"{name}.png", _hardest(rows))]


def facts(plan: Plan, run: Path | None = None) -> list[str]:
    """Lines that say how large the experiment was.

    Args:
        run: the avatar that was looked at, where none was trained.
    """
    about = f"{plan.size} x {plan.size} pixels; seed {plan.seed}"
    tested = f"{plan.test_frames or 'all'} frames of strong unseen expressions to test"
    if run is not None:
        return [f"- subjects: {', '.join(plan.subjects)}; {tested}; {about}", f"- avatar: {run}, trained before"]
    schedule, layers = plan.base.schedule, plan.base.networks.geometry_layers
    length = f"{schedule.steps} steps" if schedule.steps else f"{schedule.epochs} epochs"
    length += f" or {schedule.minutes:g} minutes, whichever is less" if schedule.minutes else ""
    return [
        f"- subjects: {', '.join(plan.subjects)}; {plan.frames or 'all'} frames to train on, {tested}; {about}",
        f"- each avatar trained for {length}, {len(layers)} x {layers[0]} networks (the paper's: 60 epochs, 8 x 512)",
    ]


def write_pages(plan: Plan, name: str, heading: str, lines: Sequence[str], document: Mapping[str, Any]) -> list[Path]:
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
    return stack([cells[0].strip(index) for cells in rows.values()], [f"{row}, frame {name}" for row in rows])
