"""Options of commands: groups of options, table options, durations and ranges of frames."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from imavatar_deploy.errors import MissingDependencyError, UsageError

from .command import Command, complete_files

UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}
"""Seconds in each unit of a duration."""

FRAMES_METAVAR = "A:B:S"

FRAMES_HELP = (
    "first:end:step as in a Python slice, each may be left out: 0:100, 50:, ::2; one frame is 5:6."
)
"""Help text of every option that takes a range of frames."""


@dataclass(frozen=True)
class OptionGroup:
    """A group of options of a command, from whose values one settings object is made."""

    name: str
    """Name of the settings."""
    title: str
    """Heading in the help."""
    options: tuple[click.Option, ...]
    make: Callable[..., Any]
    """Returns the settings; its keyword arguments are the names of the options."""

    def settings(self, values: dict[str, Any]) -> Any:
        """Return the settings of this group, and remove their values from `values`.

        Args:
            values: option name -> value.

        Raises:
            ImavatarError: a choice does not exist.
        """
        return self.make(
            **{str(option.name): values.pop(str(option.name)) for option in self.options}
        )


class GroupedCommand(Command):
    """A command with groups of options, each under its own heading in the help."""

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


def list_rows(rows: Callable[[], str], extra: str) -> str:
    """Return the rows of a table for a help text, or which extra to install to list them.

    Args:
        rows: imports the table and describes its rows.
        extra: the extra that the import needs.
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

    The table is imported only when the help is displayed.

    Args:
        rows: returns the text that replaces `{rows}` in the help, see `listed`.
        extra: the extra that `rows` needs, see `listed`.
    """

    def __init__(self, *args: Any, rows: Callable[[], str], extra: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rows = rows
        self._extra = extra

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Complete the help; click calls this."""
        template = self.help or ""
        self.help = template.replace("{rows}", list_rows(self._rows, self._extra))
        try:
            return super().get_help_record(ctx)
        finally:
            self.help = template


def seconds_of(text: str) -> float:
    """Parse a duration, such as `16.7ms`, `2s`, `30min` or a number of seconds, into seconds.

    Raises:
        UsageError: the text is not a duration.
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
        """Convert a text to seconds; click calls this."""
        if isinstance(value, float):
            return value
        try:
            return seconds_of(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


DURATION = Duration()


def frames_of(text: str) -> slice:
    """Parse the range of frames `A:B:S` into a slice; each part may be empty, as in Python.

    A negative A or B counts from the end. S is positive. A number without a colon is refused: it
    could be a frame or, as in `imavatar-data synth` and `imavatar-bench`, a count.

    Raises:
        UsageError: the text is not such a range.
    """
    parts = re.fullmatch(r"(-?\d+)?:(-?\d+)?(?::([1-9]\d*)?)?", text, re.ASCII)
    if parts:
        return slice(*(int(part) if part else None for part in parts.groups()))
    message = f"--frames must be like 0:100, 50: or ::2 (first:end:step), got {text!r}"
    if re.fullmatch(r"\d+", text, re.ASCII):
        message += f"; the first {text} frames are 0:{text}, "
        message += f"frame {text} alone is {text}:{int(text) + 1}"
    raise UsageError(message)
