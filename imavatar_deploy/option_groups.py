"""OptionGroup: options of a command and the settings that they make; GroupedCommand shows the groups apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from imavatar_deploy.console import Command


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
