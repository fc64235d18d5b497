"""`imavatar-data fit-map`: fit a map from a tracker's shapes or codes to another head model's."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from imavatar_deploy.atomic import ensure_not_input
from imavatar_deploy.cli.command import Command, closing_lines, progress
from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.errors import UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.retarget import ExpressionMap, write_map
from imavatar_deploy.retarget.arkit import ARKIT
from imavatar_deploy.retarget.expression_map import CONTROLS

if TYPE_CHECKING:  # scipy and libigl load slowly, and a help text needs neither
    from ..retargeting.fit_pairs import PairsFit
    from ..retargeting.fit_shapes import ShapesFit

TABLE_ROWS = 10
"""Number of rows in a table without --all-rows."""

POOR_RESIDUAL = 0.5
"""Relative residual from which a shape is reported as poorly imitated."""


@click.command(
    "fit-map",
    cls=Command,
    short_help="Make a map from a tracker's shapes or codes to another head model's.",
    epilog="""\b
Examples:
  imavatar-data fit-map --from openhead --to FLAME2020.pkl --edition flame2020 --out arkit.npz
  imavatar-data fit-map --pair take.csv flame_params.json --edition flame2020 --out mine.npz
  imavatar-data fit-map --from openhead --codes --to FLAME2023.pkl --edition flame2023 \\
      --out openhead_to_flame2023.npz
  imavatar-run avatar --source livelink://0.0.0.0:11111 --sink window --map arkit.npz""",
)
@click.option(
    "--from",
    "source",
    help="Head model of the source: 'openhead', FLAME's .pkl or .npz.",
)
@click.option(
    "--to", "target", help="Head model of the avatar: FLAME's .pkl or .npz, or 'openhead'."
)
@click.option(
    "--pair",
    "pairs",
    nargs=2,
    multiple=True,
    metavar="SOURCE TARGET",
    help="Two tracks of one recording: ARKit as Live Link Face exports it (.csv) or codes, and "
    "codes. Repeatable.",
)
@click.option(
    "--from-edition",
    help=f"Edition of a source that does not name it: {', '.join(EDITIONS)}.",
)
@click.option("--edition", help="Edition of a target that does not name it.")
@click.option(
    "--codes", is_flag=True, help="With --from: map from that model's codes, not ARKit's shapes."
)
@click.option(
    "--offset",
    default=0.0,
    show_default=True,
    help="With --pair: seconds from the start of the source to that of the target.",
)
@click.option(
    "--ridge",
    type=click.FloatRange(min=0),
    help="With --from: ridge strength lambda in square metres.  [default: by the residual]",
)
@click.option(
    "--all-rows", is_flag=True, help=f"Show every row of the table, not the {TABLE_ROWS} worst."
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The map to write, an .npz."
)
def fit_map(
    source: str | None,
    target: str | None,
    pairs: tuple[tuple[str, str], ...],
    from_edition: str | None,
    edition: str | None,
    codes: bool,
    offset: float,
    ridge: float | None,
    all_rows: bool,
    out: Path,
) -> None:
    """Make a map for `imavatar-run --map`, in one of two ways.

    From shapes (--from, --to): fit the expressions, jaw and eyes of the target head model to each
    ARKit shape of the source, without recordings. Heads of different topology are registered by
    joints, the target's shape basis and nearest surfaces. The residuals are printed in mm.

    From pairs (--pair): one recording tracked by two trackers at once, about a minute in which
    every part of the face moves. The neutral face of each side is subtracted, and lambda is chosen
    on held-out parts of the recording. Recordings that do not go together are refused: their fit
    must explain at least 10 % more of the motion than one to the same recordings shifted in time.
    """
    start = time.perf_counter()
    _check_options(source, target, pairs, codes or ridge is not None, offset)
    if out.suffix.lower() != ".npz":
        raise UsageError(f"a map is written as .npz, got {str(out)!r}")
    ensure_not_input(out, source, target, *(path for pair in pairs for path in pair))
    if pairs:
        expression_map = _from_pairs(pairs, from_edition, edition, offset, all_rows)
    else:
        expression_map = _from_shapes(
            str(source), str(target), from_edition, edition, codes, ridge, all_rows
        )
    write_map(expression_map, out)
    click.echo(expression_map.summary)
    source_and_sink = (
        "--source livelink://0.0.0.0:11111 --sink window"
        if expression_map.source == ARKIT
        else "--source TRACK --sink out.mp4"
    )
    following = f"imavatar-run AVATAR {source_and_sink} --map {shlex.quote(str(out))}"
    click.echo(closing_lines([out], time.perf_counter() - start, [following]))


def _check_options(
    source: str | None, target: str | None, pairs: Sequence[object], shapes: bool, offset: float
) -> None:
    if bool(pairs) == bool(source or target) or bool(source) != bool(target):
        raise UsageError(
            "expected either --from one head model --to another, or one --pair or several"
        )
    if pairs and shapes:
        raise UsageError(
            "--codes and --ridge are only used with --from and --to: leave them out with --pair"
        )
    if source and offset:
        raise UsageError("--offset is only used with --pair: leave it out with --from")


def _from_shapes(
    source: str,
    target: str,
    from_edition: str | None,
    edition: str | None,
    codes: bool,
    ridge: float | None,
    all_rows: bool,
) -> ExpressionMap:
    from ..retargeting.fit_shapes import fit_shapes

    heads = HeadModel.load(source, edition=from_edition), HeadModel.load(target, edition=edition)
    made_from = f"{Path(source).name}, {Path(target).name}"
    fit = fit_shapes(*heads, made_from, codes=codes, ridge=ridge, progress=progress)
    _show_shapes(fit, all_rows)
    return fit.expression_map


def _show_shapes(fit: ShapesFit, all_rows: bool) -> None:
    registration = fit.registration
    if registration.distance:
        share = 100 * registration.reliable.mean()
        click.echo(
            f"other topology: {share:.0f} % of vertices registered, "
            f"{1000 * registration.distance:.2f} mm apart (median)"
        )
    else:
        click.echo("same topology: vertex by vertex")
    rows = sorted(fit.residuals, key=lambda row: -row.missed / row.moved)
    listed = rows if all_rows else rows[:TABLE_ROWS]
    table = Table(
        "shape", "moves, mm", "missed, mm", "missed, %", "worst vertex, mm", box=box.SIMPLE_HEAD
    )
    for row in listed:
        share = 100 * row.missed / row.moved
        table.add_row(
            row.name, f"{row.moved:.2f}", f"{row.missed:.2f}", f"{share:.0f}", f"{row.worst:.2f}"
        )
    Console().print(table)
    if len(listed) < len(rows):
        click.echo(f"the other {len(rows) - len(listed)} shapes miss less (--all-rows shows them)")
    if poor := [row.name for row in rows if row.missed > POOR_RESIDUAL * row.moved]:
        click.echo(f"poorly imitated, half or more is missed: {', '.join(poor)}")


def _from_pairs(
    pairs: Sequence[tuple[str, str]],
    from_edition: str | None,
    edition: str | None,
    offset: float,
    all_rows: bool,
) -> ExpressionMap:
    from ..retargeting.fit_pairs import fit_pairs
    from ..retargeting.recordings import read_recording

    recordings = [
        (read_recording(first, from_edition), read_recording(second, edition))
        for first, second in pairs
    ]
    made_from = ", ".join(f"{Path(first).name} -> {Path(second).name}" for first, second in pairs)
    fit = fit_pairs(recordings, made_from, offset=offset)
    fit.ensure_one_performance()
    _show_pairs(fit, all_rows)
    return fit.expression_map


def _show_pairs(fit: PairsFit, all_rows: bool) -> None:
    click.echo(f"{fit.frames} frames in common")
    order = [
        index
        for index in np.argsort(fit.explained, kind="stable")
        if np.isfinite(fit.explained[index])
    ]
    listed = order if all_rows else order[:TABLE_ROWS]
    table = Table("output", "explained on held-out frames, %", box=box.SIMPLE_HEAD)
    for index in listed:
        table.add_row(CONTROLS[index], f"{100 * fit.explained[index]:.0f}")
    Console().print(table)
    if len(listed) < len(order):
        click.echo(
            f"the other {len(order) - len(listed)} outputs are explained better "
            "(--all-rows shows them)"
        )
    if fit.unmoved_inputs:
        click.echo(
            "do not move in these recordings and are without effect: "
            + ", ".join(fit.unmoved_inputs)
        )
