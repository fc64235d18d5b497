"""imavatar-bench: how many frames a second an avatar plays at, and where the time goes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.console import Command, closing_lines
from imavatar_deploy.tracks import read_track

from .options import avatar_argument, drawing_options, size_of
from .player import Player
from .timing import INCLUDED, machine, summarise, time_frames

SCHEMA_VERSION = 1
THREADS = (
    "one pool of {0} for animation and drawing and, but for the student, one of {0} for ONNX Runtime take turns; "
    "neither spins while it waits"
)


def measure(avatar: str, player: Player, frames: int) -> dict[str, Any]:
    """Time `frames` frames of the bundled motion; JSON-ready, times in milliseconds."""
    laps = time_frames(player, list(read_track("talk").frames()), frames)
    stages = summarise(laps)
    return {
        "schema_version": SCHEMA_VERSION,
        "avatar": avatar,
        "vertices": player.avatar.vertex_count,
        "faces": len(player.avatar.faces),
        "size": [player.width, player.height],
        "shading": player.shading,
        "frames": frames,
        "milliseconds": stages,
        "frames_per_second": round(frames / sum(sum(lap.values()) for lap in laps), 2),
        "included": INCLUDED,
        "threads": {"count": player.threads, "note": THREADS.format(player.threads)},
        "machine": machine(),
    }


def latency_table(result: dict[str, Any]) -> Table:
    """Stages by percentiles."""
    table = Table("stage", "p50 ms", "p95 ms", "p99 ms")
    for stage, times in result["milliseconds"].items():
        table.add_row(stage, *(f"{value:.2f}" for value in times.values()), end_section=stage == "composite")
    return table


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  imavatar-bench sample
  imavatar-bench my_avatar --size 256 --shading pixel --frames 30 --json bench.json""",
)
@avatar_argument
@drawing_options
@click.option("--frames", type=click.IntRange(min=1), default=150, show_default=True, help="Frames to time.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures to this file, too.")
def bench(
    avatar: str,
    size: str,
    shading: str,
    threads: int | None,
    backend: str,
    engine_policy: str,
    frames: int,
    out: Path | None,
) -> None:
    """Time AVATAR (a folder made by imavatar-export, or the word 'sample') on the bundled motion."""
    started = time.perf_counter()
    with Player(
        avatar, size=size_of(size), shading=shading, threads=threads, backend=backend, engine_policy=engine_policy
    ) as player:
        result = measure(avatar, player, frames) | {"backend": player.backend_note or backend}
    if out:
        with atomic_file(out) as partial:
            partial.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    about, (width, height) = result["machine"], result["size"]
    shown = f"shading: {result['shading']}, {result['backend']}"
    click.echo(f"{avatar}: {result['faces']:,} faces, {width} x {height}, {shown}")
    Console().print(latency_table(result))
    click.echo(f"{result['frames_per_second']} frames a second over {frames} frames: {result['included']}")
    click.echo(
        f"{result['threads']['note']}; {about['processor']}, {about['cores']} cores, load {about['load_average']}"
    )
    other = "pixel" if result["shading"] == "vertex" else "vertex"
    then = [f"imavatar-bench {avatar} --size {size} --shading {other}"]
    click.echo(closing_lines([out] if out else [], time.perf_counter() - started, then))
