"""All click commands and subcommands that `pyproject.toml` installs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import click

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def click_command(entry: str) -> click.Command:
    """Return the command of an entry point, `module:attribute`, also if it is imported late."""
    module_name, _, attribute = entry.partition(":")
    module = importlib.import_module(module_name)
    target = getattr(module, attribute)
    if isinstance(target, click.Command):
        return target
    place = (
        module
        if hasattr(module, "start")
        else importlib.import_module("imavatar_deploy.cli.command")
    )
    with mock.patch.object(place, "start") as start:
        target()
    late_module, late_attribute = start.call_args.args[:2]
    command = getattr(importlib.import_module(late_module), late_attribute)
    assert isinstance(command, click.Command)
    return command


def with_subcommands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and all its subcommands with the words that call them."""
    yield name, command
    if isinstance(command, click.Group):
        for below, subcommand in command.commands.items():
            yield from with_subcommands(f"{name} {below}", subcommand)


def all_commands() -> dict[str, click.Command]:
    """Return every command by the words that call it, such as `imavatar-data synth`."""
    return {
        typed: command
        for name, entry in PROJECT["scripts"].items()
        for typed, command in with_subcommands(name, click_command(entry))
    }
