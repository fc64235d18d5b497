"""imavatar-data fit-map: a map that lets a tracker of one vocabulary drive an avatar of another."""

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

if TYPE_CHECKING:  # scipy and libigl are slow to load, and a help text needs neither
    from ..retargeting.fit_pairs import PairsFit
    from ..retargeting.fit_shapes import ShapesFit

WORST = 10
"""Rows of a table shown unless --all-rows asks for every one."""

POOR = 0.5
"""Share missed from which a shape is named as poorly imitated."""


@click.command(
    "fit-map",
    cls=Command,
    short_help="Make a map from a tracker's shapes or codes to another head model's.",
    epilog="""\b
Examples:
  imavatar-data fit-map --from openhead --to FLAME2020.pkl --edition flame2020 --out arkit_to_flame2020.npz
  imavatar-data fit-map --pair take.csv flame_params.json --edition flame2020 --out mine.npz
  imavatar-data fit-map --from openhead --codes --to FLAME2023.pkl --edition flame2023 --out openhead_to_flame2023.npz
  imavatar-run avatar --source livelink://0.0.0.0:11111 --sink window --map arkit_to_flame2020.npz""",
)
@click.option(
    "--from",
    "source",
    help="Head model whose shapes are imitated: 'openhead', FLAME's .pkl or .npz.",
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
    help="Two tracks of one take: ARKit as Live Link Face exports it (.csv) or codes, and codes. Repeatable.",
)
@click.option("--from-edition", help=f"Of a source that does not tell: {', '.join(EDITIONS)}.")
@click.option("--edition", help="Of a target that does not tell.")
@click.option(
    "--codes", is_flag=True, help="With --from: read that model's own codes, not ARKit's shapes."
)
@click.option(
    "--offset",
    default=0.0,
    show_default=True,
    help="With --pair: seconds the target began after the source.",
)
@click.option(
    "--ridge",
    type=click.FloatRange(min=0),
    help="With --from: lambda in square metres.  [default: by the residual]",
)
@click.option(
    "--all-rows", is_flag=True, help=f"Show every row of the table, not the {WORST} worst."
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

    From shapes (--from, --to): each ARKit shape of OpenHead is imitated by the expressions, jaw and eyes of the other
    head model. Nothing else is needed. Heads of another topology are laid upon one another by joints, the target's
    shape basis and nearest surfaces; what is missed is told in mm.

    From pairs (--pair): one take seen by two trackers at once, a minute with every part of the face moving. Each side's
    resting face is subtracted, and lambda is chosen on stretches that are held out.
    """
    start = time.perf_counter()
    _check_way(source, target, pairs, codes or ridge is not None, offset)
    if out.suffix.lower() != ".npz":
        raise UsageError(f"a map is written as .npz, got {str(out)!r}")
    ensure_not_input(out, source, target, *(path for pair in pairs for path in pair))
    if pairs:
        chart = _from_pairs(pairs, from_edition, edition, offset, all_rows)
    else:
        chart = _from_shapes(
            str(source), str(target), from_edition, edition, codes, ridge, all_rows
        )
    write_map(chart, out)
    click.echo(chart.summary)
    ends = (
        "--source livelink://0.0.0.0:11111 --sink window"
        if chart.source == ARKIT
        else "--source TRACK --sink out.mp4"
    )
    following = f"imavatar-run AVATAR {ends} --map {shlex.quote(str(out))}"
    click.echo(closing_lines([out], time.perf_counter() - start, [following]))


def _check_way(
    source: str | None, target: str | None, pairs: Sequence[object], shapes: bool, offset: float
) -> None:
    if bool(pairs) == bool(source or target) or bool(source) != bool(target):
        raise UsageError(
            "a map is made either --from one head model --to another, or from one --pair or several"
        )
    if pairs and shapes:
        raise UsageError(
            "--codes and --ridge go with --from and --to; with --pair the takes and the data decide"
        )
    if source and offset:
        raise UsageError("--offset goes with --pair: two head models have no time")


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
    where = fit.registration
    if where.distance:
        share = 100 * where.reliable.mean()
        click.echo(
            f"other topology: {share:.0f} % of vertices found, {1000 * where.distance:.2f} mm apart (median)"
        )
    else:
        click.echo("same topology: vertex by vertex")
    rows = sorted(fit.residuals, key=lambda row: -row.missed / row.moved)
    shown = rows if all_rows else rows[:WORST]
    table = Table(
        "shape", "moves, mm", "missed, mm", "missed, %", "worst vertex, mm", box=box.SIMPLE_HEAD
    )
    for row in shown:
        share = 100 * row.missed / row.moved
        table.add_row(
            row.name, f"{row.moved:.2f}", f"{row.missed:.2f}", f"{share:.0f}", f"{row.worst:.2f}"
        )
    Console().print(table)
    if len(shown) < len(rows):
        click.echo(f"the other {len(rows) - len(shown)} shapes miss less (--all-rows shows them)")
    if poor := [row.name for row in rows if row.missed > POOR * row.moved]:
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

    takes = [
        (read_recording(first, from_edition), read_recording(second, edition))
        for first, second in pairs
    ]
    made_from = ", ".join(f"{Path(first).name} -> {Path(second).name}" for first, second in pairs)
    fit = fit_pairs(takes, made_from, offset=offset)
    _show_pairs(fit, all_rows)
    return fit.expression_map


def _show_pairs(fit: PairsFit, all_rows: bool) -> None:
    click.echo(f"{fit.frames} frames in step")
    order = [
        index
        for index in np.argsort(fit.explained, kind="stable")
        if np.isfinite(fit.explained[index])
    ]
    shown = order if all_rows else order[:WORST]
    table = Table("output", "explained on held-out frames, %", box=box.SIMPLE_HEAD)
    for index in shown:
        table.add_row(CONTROLS[index], f"{100 * fit.explained[index]:.0f}")
    Console().print(table)
    if len(shown) < len(order):
        click.echo(
            f"the other {len(order) - len(shown)} outputs are explained better (--all-rows shows them)"
        )
    if fit.unmoved_inputs:
        click.echo(
            f"never moved in these takes, and so without effect: {', '.join(fit.unmoved_inputs)}"
        )
