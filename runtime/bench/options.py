"""Options of the bench: one or several values, separated by commas, checked before any timing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from imavatar_deploy.cli.command import rows_help
from imavatar_deploy.conventions import TRACER_SUMMARIES
from imavatar_deploy.errors import UsageError, unknown_name
from imavatar_deploy.rendering.renderer import ANTIALIASING, EDGES
from imavatar_deploy.rendering.shading import AUTO, SHADINGS

from ..backends import BACKENDS
from ..commands.options import ANTIALIAS_HELP, SHADING_HELP, engine_policy_option, size_of
from .combination import TOGETHER

Value = TypeVar("Value")
Command = TypeVar("Command", bound=Callable[..., Any])

COUNT_LIMIT = 256
"""Largest number of threads, or of avatars."""


def several(text: str, read: Callable[[str], Value]) -> list[Value]:
    """`a,b` -> [read("a"), read("b")], each once.

    Raises:
        UsageError: what `read` raises.
    """
    return list(dict.fromkeys(read(part.strip()) for part in text.split(",")))


def size_pair(text: str) -> tuple[int, int]:
    """`512` or `640x480` -> width and height."""
    size = size_of(text)
    return (size, size) if isinstance(size, int) else size


def count_reader(option: str) -> Callable[[str], int]:
    """Return a reader of numbers from 1 to `COUNT_LIMIT`."""

    def read(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= COUNT_LIMIT:
            raise UsageError(
                f"{option} must be like 2 or 1,2,4, each from 1 to {COUNT_LIMIT}, got {text!r}"
            )
        return int(text)

    return read


def row_of(kind: str, table: Iterable[str]) -> Callable[[str], str]:
    """Return a reader of a table's names."""

    def read(text: str) -> str:
        if text not in table:
            raise unknown_name(kind, text, table)
        return text

    return read


def axis_options(command: Command) -> Command:
    """Add the options that take several values, in the order of their help."""
    options = (
        click.option(
            "--size",
            default="512",
            show_default=True,
            metavar="N|WxH,…",
            help="Pixels of the image.",
        ),
        click.option(
            "--shading",
            default=AUTO,
            show_default=True,
            help=f"{AUTO}, {', '.join(SHADINGS)}. {SHADING_HELP}",
        ),
        click.option(
            "--antialias",
            default=EDGES,
            show_default=True,
            help=f"{', '.join(ANTIALIASING)}. {ANTIALIAS_HELP}",
        ),
        click.option(
            "--backend",
            default="cpu",
            show_default=True,
            help=f"What draws: {rows_help(BACKENDS)}.",
        ),
        click.option(
            "--threads",
            metavar="N,…",
            help="Cores to use, for all avatars together.  [default: all]",
        ),
        click.option(
            "--avatars",
            "counts",
            default="1",
            show_default=True,
            metavar="N,…",
            help="Number of players at once.",
        ),
        click.option(
            "--together",
            default=next(iter(TOGETHER)),
            show_default=True,
            help=f"How several at once are drawn: {rows_help(TOGETHER)}.",
        ),
        engine_policy_option,
    )
    return _with(command, options)


def implicit_options(command: Command) -> Command:
    """Add --implicit, --implicit-size and --tracers."""
    options = (
        click.option(
            "--implicit",
            "checkpoint",
            help="Time the implicit renderer as well, in a process of its own, on the checkpoint "
            "that AVATAR was exported from: a folder, a .pth file or the word 'sample'. Needs "
            "torch.",
        ),
        click.option(
            "--implicit-size",
            default="64",
            show_default=True,
            metavar="N|WxH",
            help="Pixels of its images; AVATAR is timed at this size as well.",
        ),
        click.option(
            "--tracers",
            default=",".join(TRACER_SUMMARIES),
            show_default=True,
            help=f"How it finds the surface: {rows_help(TRACER_SUMMARIES)}.",
        ),
    )
    return _with(command, options)


def _with(command: Command, options: Iterable[Callable[[Command], Command]]) -> Command:
    for option in reversed(tuple(options)):
        command = option(command)
    return command
