"""Options of commands: groups that make settings, and help that lists the rows of a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from imavatar_deploy.errors import MissingDependencyError, UsageError

from .command import Command, complete_files


@dataclass(frozen=True)
class OptionGroup:
    """One row of a command's groups; it stands beside the settings that it makes."""

    name: str
    """Of the settings."""
    title: str
    """What the help calls it."""
    options: tuple[click.Option, ...]
    make: Callable[..., Any]
    """The settings from the options' values, by the options' names."""

    def settings(self, given: dict[str, Any]) -> Any:
        """The settings of this group; takes its values out of `given`.

        Raises:
            ImavatarError: a choice that does not exist.
        """
        return self.make(
            **{str(option.name): given.pop(str(option.name)) for option in self.options}
        )


class GroupedCommand(Command):
    """A command with groups of options, each under its own heading."""

    def __init__(self, *args: Any, groups: Sequence[OptionGroup], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._groups = groups
        self.params += [option for group in groups for option in group.options]
        complete_files(self.params)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help of all options; click calls this."""
        grouped = {option for group in self._groups for option in group.options}
        own = [param for param in self.get_params(ctx) if param not in grouped]
        for title, params in (
            ("Options", own),
            *((group.title, group.options) for group in self._groups),
        ):
            with formatter.section(title):
                formatter.write_dl(
                    [record for param in params if (record := param.get_help_record(ctx))]
                )


def listed(rows: Callable[[], str], extra: str) -> str:
    """The rows of a table for a help text, or what to install before its module can be imported.

    Args:
        rows: imports the table and describes its rows.
        extra: brings what the import needs.
    """
    try:
        return rows()
    except MissingDependencyError:
        pass
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("imavatar_deploy"):
            raise
    return f"(listed after pip install 'imavatar-deploy[{extra}]')"


class TableOption(click.Option):
    """An option whose help lists the rows of a table.

    The table is imported when the help is shown, and not before.

    Args:
        rows: what stands for `{rows}` in the help; see `listed`.
        extra: see `listed`.
    """

    def __init__(self, *args: Any, rows: Callable[[], str], extra: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rows, self._extra = rows, extra

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Complete the help; click calls this."""
        template = self.help or ""
        self.help = template.replace("{rows}", listed(self._rows, self._extra))
        try:
            return super().get_help_record(ctx)
        finally:
            self.help = template


# Durations as people write them on a command line: `16.7ms`, `2s`, `30min`, or a plain number of seconds.


UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}


def seconds_of(text: str) -> float:
    """Seconds that a text means.

    Raises:
        UsageError: it is no duration.
    """
    parts = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) ?(\w*)", text.strip())
    if not parts or parts[2] not in UNITS:
        raise UsageError(f"a duration is like 16.7ms, 2s or 30min, got {text!r}")
    return float(parts[1]) * UNITS[parts[2]]


class Duration(click.ParamType):  # type: ignore[type-arg]
    """The type of an option that takes a duration; its value is in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """See `click.ParamType`."""
        if isinstance(value, float):
            return value
        try:
            return seconds_of(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


DURATION = Duration()


# The range of frames that a command uses: the text `A:B:S` of every `--frames` as a slice.


FRAMES_METAVAR = "A:B:S"

FRAMES_HELP = (
    "first:end:step as in a Python slice, each may be left out: 0:100, 50:, ::2; one frame is 5:6."
)
"""The grammar, for the help of every option that takes a range."""


def frames_of(text: str) -> slice:
    """Parse `A:B:S` into a slice, any part of which may be empty, as in Python.

    A negative A or B counts from the end. S is positive. A number without a colon is refused: it
    could be a frame or, as in `imavatar-data synth` and `imavatar-bench`, a count.

    Raises:
        UsageError: the text is no such range.
    """
    parts = re.fullmatch(r"(-?\d+)?:(-?\d+)?(?::([1-9]\d*)?)?", text, re.ASCII)
    if parts:
        return slice(*(int(part) if part else None for part in parts.groups()))
    message = f"--frames must be like 0:100, 50: or ::2 (first:end:step), got {text!r}"
    if re.fullmatch(r"\d+", text, re.ASCII):
        message += f"; the first {text} frames are 0:{text}, "
        message += f"frame {text} alone is {text}:{int(text) + 1}"
    raise UsageError(message)
