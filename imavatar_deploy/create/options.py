"""Checks of the options that the stages would refuse only after minutes of work."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Sequence

from imavatar_deploy.cli.command import PARSE_ONLY
from imavatar_deploy.errors import UsageError, excerpt, unknown_name

from .runner import program

TRACKED_SIDES = (64, 2048)
"""Smallest and largest side of the pictures of `imavatar-data track`."""

TRAINED_SIDES = (8, 4096)
"""Smallest and largest side to which training resizes frames."""

PREVIEWED = ("player", "onnx", "student")
"""Formats that the preview plays."""

LIST_LIMIT = 60.0
"""Seconds in which `imavatar-export --list` ends; without its answer, names are not checked."""


def check_sizes(size: int, training_size: int) -> None:
    """Check the sides of the pictures.

    Raises:
        UsageError: a side is out of range, or `size` is odd, which the preview cannot be.
    """
    for option, side, (least, most) in (
        ("--size", size, TRACKED_SIDES),
        ("--training-size", training_size, TRAINED_SIDES),
    ):
        if not least <= side <= most:
            raise UsageError(f"{option} must be between {least} and {most} pixels, got {side}")
    if size % 2:
        raise UsageError(f"--size must be even for the preview, an H.264 video, got {size}")


def check_formats(formats: str) -> None:
    """Check the names of formats, as `--format` takes them.

    Raises:
        UsageError: a name is unknown, or no format plays in the preview.
    """
    names = [name.strip() for name in formats.split(",")]
    if other := [name for name in names if name not in PREVIEWED]:
        known = export_formats()
        for name in other:
            if known and name not in known:
                raise unknown_name("export format", name, known)
    if not set(names) & set(PREVIEWED):
        raise UsageError(
            f"--format must have one of {', '.join(PREVIEWED)} among its names for the preview, "
            f"got {formats!r}; pass --format {','.join([PREVIEWED[0], *filter(None, names)])}"
        )


STAGE_PROGRAMS = {"--train": "imavatar-train", "--export": "imavatar-export"}
"""Option with further options of a stage -> the program that takes them."""


def check_options(option: str, words: Sequence[str]) -> None:
    """Let a later stage's program parse further options, without work.

    Args:
        option: a key of `STAGE_PROGRAMS`.
        words: the further options.

    Raises:
        UsageError: the program does not take them; the message is its own.
        MissingDependencyError: the program is not installed.
    """
    if not words:
        return
    name = STAGE_PROGRAMS[option]
    try:
        answer = subprocess.run(
            [program(name), "input", "--out", "output", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, PARSE_ONLY: "1"},
            timeout=LIST_LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    if answer.returncode == UsageError.exit_code:
        lines = answer.stderr.strip().splitlines() or ["the options are not accepted"]
        reason = excerpt(lines[-1], 300).removeprefix("Error: ")
        raise UsageError(f"{option}: {reason}")


def export_formats() -> Iterable[str]:
    """Names in the table of `imavatar-export --list`; none where it cannot be read.

    Raises:
        MissingDependencyError: the command is not installed.
    """
    try:
        answer = subprocess.run(
            [program("imavatar-export"), "--list"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "COLUMNS": "200"},
            timeout=LIST_LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    names = re.findall(r"^  ([a-z]\w*) ", answer.stdout, re.MULTILINE)[1:]  # below the heading
    return names if set(PREVIEWED) <= set(names) else []
