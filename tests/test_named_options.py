"""Command-line options that sources and documentation mention exist."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = (
    "create.command",
    "exporters.commands.bake",
    "exporters.commands.export",
    "runtime.bench.command",
    "runtime.commands.run",
    "runtime.commands.send",
    "runtime.commands.verify",
    "runtime.doctor.command",
    "training.commands.data",
    "training.commands.eval",
    "training.commands.train",
)
OF_OTHER_PROGRAMS = {
    "--bind",
    "--bundle",
    "--directory",
    "--force-reinstall",
    "--jsx",
    "--model-repository",
    "--no-python",
    "--npm",
    "--nproc-per-node",
    "--outfile",
}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
TEXTS = sorted(
    [
        *(ROOT / "docs").glob("*.md"),
        ROOT / "README.md",
        *(
            path
            for folder in ("imavatar_deploy", "exporters", "runtime", "training")
            for path in (ROOT / folder).rglob("*.py")
        ),
    ]
)


def options_of(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)
    if isinstance(command, click.Group):
        for member in command.commands.values():
            yield from options_of(member)


@pytest.fixture(scope="module")
def options() -> set[str]:
    names = {"--help"}
    for name in COMMANDS:
        module = importlib.import_module(f"imavatar_deploy.{name}")
        for command in vars(module).values():
            if isinstance(command, click.Command):
                names.update(options_of(command))
    return names


def test_every_named_option_exists(options: set[str]) -> None:
    unknown = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in TEXTS
        if path.name != "chromium.py"  # its options are Chromium's
        for name in OPTION.findall(path.read_text(encoding="utf-8"))
        if name not in options | OF_OTHER_PROGRAMS
    }
    assert not unknown
