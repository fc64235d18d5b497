"""Command-line options of a tracker's stream, and the `LiveConfig` that they make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from imavatar_deploy.cli.command import rows_help
from imavatar_deploy.cli.options import DURATION, OptionGroup, seconds_of

from .config import LiveConfig
from .motion.face_state import HEADS
from .motion.jitter_buffer import DROPOUTS
from .motion.playback import Smoothing

AUTO = "auto"


def _config(
    latency: str,
    smoothing: str,
    on_loss: str,
    head: str,
    calibrate: float | None,
    neutral: Path | None,
    adjust: tuple[str, ...],
    map_file: str | None,
    any_edition: bool,
) -> LiveConfig:
    return LiveConfig(
        latency=None if latency == AUTO else seconds_of(latency),
        smoothing=SMOOTHINGS[smoothing](),
        dropout=on_loss,
        head=head,
        calibrate=calibrate,
        neutral=neutral,
        adjustments=adjust,
        map_file=map_file,
        any_edition=any_edition,
    )


SMOOTHINGS: dict[str, Callable[[], Smoothing | None]] = {
    "normal": Smoothing,
    "strong": lambda: Smoothing(
        min_cutoff=Smoothing.min_cutoff / 3, expression_beta=Smoothing.expression_beta / 2
    ),
    "off": lambda: None,
}
"""The table of `--smoothing`: One-Euro filters."""


def _option(name: str, *names: str, **settings: Any) -> click.Option:
    show_default = settings.get("default") is not None
    return click.Option([name, *names], show_default=show_default, **settings)


GROUP = OptionGroup(
    "choices",
    "A tracker's stream",
    (
        _option(
            "--latency",
            default=AUTO,
            metavar="DURATION",
            help="Time between a face and its picture, without drawing: more bridges a worse "
            "network, 0 shows the newest at once. auto: one frame of the source, smoothing "
            "included.",
        ),
        _option(
            "--smoothing",
            type=click.Choice(list(SMOOTHINGS)),
            default="normal",
            help="One-Euro filter: little jitter at rest, little lag in motion.",
        ),
        _option(
            "--on-loss",
            type=click.Choice(list(DROPOUTS)),
            default="relax",
            help=f"While no packets come: {rows_help(DROPOUTS)}.",
        ),
        _option(
            "--head",
            type=click.Choice(list(HEADS)),
            default="on",
            help=f"The head's own motion: {rows_help(HEADS)}.",
        ),
        _option(
            "--calibrate",
            type=DURATION,
            help="Use the face of the first moments, such as 2s, as the one at rest.",
        ),
        _option(
            "--neutral",
            type=click.Path(path_type=Path, dir_okay=False),
            help="File of the face at rest: read where it exists, else written from the first "
            "second, or by --calibrate.",
        ),
        _option(
            "--adjust",
            multiple=True,
            metavar="NAME=GAIN|NAME=LOW:HIGH",
            help="Strengthen, weaken or limit an expression (name or number) or a bone: "
            "jawOpen=1.3, neck=0:0.5; or reverse one angle of a bone, where a tracker's sign "
            "differs: head.yaw=-1, also .pitch and .roll. May be repeated.",
        ),
        _option(
            "--map",
            "map_file",
            metavar="FILE",
            help="Map from the source's expressions to the avatar's head model: a file of "
            "imavatar-data fit-map or a matrix of your own; or the word sparse, jaw and eyes "
            "alone.",
        ),
        _option(
            "--any-edition",
            is_flag=True,
            help="Play a motion made for another head model as it is.",
        ),
    ),
    _config,
)
