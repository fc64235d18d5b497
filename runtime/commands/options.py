"""Options of several commands: avatar, size, shading, anti-aliasing, backend and the like."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from imavatar_deploy.cli.command import rows_help
from imavatar_deploy.errors import UsageError
from imavatar_deploy.rendering.renderer import ANTIALIASING, EDGES
from imavatar_deploy.rendering.shading import AUTO, SHADINGS

from ..backends import BACKENDS
from ..trt_policy import POLICIES

SHADING_HELP = (
    "student: a tiny network at every pixel (fastest); vertex, pixel: the full texture network at "
    "visible vertices, or at every pixel (exact, slowest); auto: what suits the backend and the "
    "avatar has."
)

ANTIALIAS_HELP = f"How pixels at outlines are drawn: {rows_help(ANTIALIASING)}."

Command = TypeVar("Command", bound=Callable[..., Any])


def size_of(text: str) -> int | tuple[int, int]:
    """Read `512` or `640x480` as the `size` of a Player."""
    if re.fullmatch(r"\d{1,5}", text):
        return int(text)
    sides = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    if not sides:
        raise UsageError(f"--size must be like 512 or 640x480, got {text!r}")
    return int(sides[1]), int(sides[2])


def background_of(text: str) -> str | None:
    """Read `transparent` or `#rrggbb` as the `background` of a Player, which checks the colour."""
    return None if text == "transparent" else text


engine_policy_option = click.option(
    "--engine-policy",
    type=click.Choice(list(POLICIES)),
    default="rebuild",
    show_default=True,
    help=f"When an engine cannot run here: {rows_help(POLICIES)}.",
)
"""The option --engine-policy."""


def avatar_argument(command: Command) -> Command:
    """Add the argument AVATAR."""
    return click.argument("avatar")(command)


def drawing_options(command: Command) -> Command:
    """Add --size, --shading, --antialias, --threads, --backend and --engine-policy."""
    for option in (
        engine_policy_option,
        click.option(
            "--backend",
            type=click.Choice(list(BACKENDS)),
            default="cpu",
            show_default=True,
            help=f"What draws: {rows_help(BACKENDS)}.",
        ),
        click.option("--threads", type=click.IntRange(min=1), help="Cores to use.  [default: all]"),
        click.option(
            "--antialias",
            type=click.Choice(list(ANTIALIASING)),
            default=EDGES,
            show_default=True,
            help=ANTIALIAS_HELP,
        ),
        click.option(
            "--shading",
            type=click.Choice([AUTO, *SHADINGS]),
            default=AUTO,
            show_default=True,
            help=SHADING_HELP,
        ),
        click.option(
            "--size", default="512", show_default=True, metavar="N|WxH", help="Pixels of the image."
        ),
    ):
        command = option(command)
    return command
