"""Options of commands: groups that make settings, and help that lists the rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from imavatar_deploy.console import Command
from imavatar_deploy.errors import MissingDependencyError


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
        return self.make(**{str(option.name): given.pop(str(option.name)) for option in self.options})


class GroupedCommand(Command):
    """A command with groups of options, each under its own heading."""

    def __init__(self, *args: Any, groups: Sequence[OptionGroup], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._groups = groups
        self.params += [option for group in groups for option in group.options]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help of all options; click calls this."""
        grouped = {option for group in self._groups for option in group.options}
        own = [param for param in self.get_params(ctx) if param not in grouped]
        for title, params in (("Options", own), *((group.title, group.options) for group in self._groups)):
            with formatter.section(title):
                formatter.write_dl([record for param in params if (record := param.get_help_record(ctx))])


def listed(rows: Callable[[], str], extra: str) -> str:
    """The rows of a table for a help text, or what to install before its module can be imported.

    Args:
        rows: imports the table and describes its rows.
        extra: brings what the import needs.
    """
    try:
        return rows()
    except MissingDependencyError:
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
