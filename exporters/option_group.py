"""OptionGroup: options of some formats and the settings that they make; GroupedCommand shows the groups apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from imavatar_deploy.console import Command


class FormatOption(click.Option):
    """An option that only some formats obey.

    Args:
        formats: their names.
    """

    def __init__(self, *names: str, formats: Sequence[str], **chosen: Any) -> None:
        super().__init__(names, show_default=bool(chosen.get("default")), **chosen)
        self.formats = tuple(formats)


@dataclass(frozen=True)
class OptionGroup:
    """One row of the table of groups; it stands beside the settings that it makes."""

    name: str
    """Of the field of `settings.Settings`."""
    title: str
    """What the help calls it."""
    options: tuple[FormatOption, ...]
    make: Callable[..., Any]
    """The settings from the options' values, by the options' names."""

    def settings(self, given: dict[str, Any]) -> Any:
        """The settings of this group; takes its values out of `given`.

        Raises:
            ImavatarError: a choice that does not exist.
        """
        return self.make(**{str(option.name): given.pop(str(option.name)) for option in self.options})

    def obeyed_by(self, name: str) -> list[str]:
        """The options that a format obeys, as they are written."""
        return [option.opts[0] for option in self.options if name in option.formats]


class GroupedCommand(Command):
    """A command with groups of options, each under its own heading."""

    def __init__(self, *args: Any, groups: Sequence[OptionGroup], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._groups = groups
        self.params += [option for group in groups for option in group.options]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help of all options; click calls this."""
        own = [param for param in self.get_params(ctx) if not isinstance(param, FormatOption)]
        for title, params in (("Options", own), *((group.title, group.options) for group in self._groups)):
            with formatter.section(title):
                formatter.write_dl([record for param in params if (record := param.get_help_record(ctx))])
