"""The directive `command`: usage, options, examples and exit codes of a console script.

    ```{command} imavatar-run
    ```

The text is that of `--help`, with one section a group of options and one a subcommand. sphinx-click
does not fit: it imports a click command by its module, where these are imported when they start,
and it lists neither groups of options nor the rows of tables.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from typing import Any
from unittest import mock

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

CODE = re.compile(r"`([^`]+)`")


def click_command(name: str) -> click.Command:
    """The click command that a console script starts."""
    (entry,) = set(entry_points(group="console_scripts", name=name))
    module = importlib.import_module(entry.module)
    starter = module if hasattr(module, "start") else "imavatar_deploy.cli.command"
    place = importlib.import_module(starter) if isinstance(starter, str) else starter
    with mock.patch.object(place, "start") as start:
        getattr(module, entry.attr)()
    late_module, attribute = start.call_args.args[:2]
    command = getattr(importlib.import_module(late_module), attribute)
    assert isinstance(command, click.Command)
    return command


def inline(text: str) -> Iterator[nodes.Node]:
    """Text with its code in backticks, as nodes."""
    for number, part in enumerate(CODE.split(" ".join(text.split()))):
        if part:
            yield nodes.literal(part, part) if number % 2 else nodes.Text(part)


def paragraphs(text: str) -> Iterator[nodes.Node]:
    r"""The paragraphs of a help text; those after `\b` keep their lines."""
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        lines = [line for line in block.splitlines() if line.strip() != "\b"]
        if len(lines) == len(block.splitlines()):
            yield nodes.paragraph(block, "", *inline(block))
            continue
        if lines and lines[0].rstrip() == "Examples:":
            code = inspect.cleandoc("\n".join(lines[1:]))
            yield nodes.literal_block(code, code, language="sh")
        else:
            code = inspect.cleandoc("\n".join(lines))
            yield nodes.literal_block(code, code, language="text")


def option_list(
    name: str, params: Iterable[click.Parameter], context: click.Context
) -> nodes.definition_list:
    """The options with their help."""
    entries = nodes.definition_list(classes=["options"])
    for param in params:
        record = param.get_help_record(context)
        if record is None or not record[1]:  # an argument, which the description explains
            continue
        names, description = record
        term = nodes.term("", "", nodes.literal(names, names))
        term["ids"].append(nodes.make_id(f"{name} {param.opts[0]}"))
        text = nodes.paragraph(description, "", *inline(description))
        entries += nodes.definition_list_item("", term, nodes.definition("", text))
    return entries


def groups(command: click.Command, context: click.Context) -> Iterator[tuple[str, list[Any]]]:
    """Title and options of each group; those without a group first."""
    titled = [(group.title, list(group.options)) for group in getattr(command, "_groups", ())]
    grouped = {option for _, options in titled for option in options}
    yield "Options", [param for param in command.get_params(context) if param not in grouped]
    yield from titled


def described(command: click.Command, context: click.Context) -> str:
    """The description of a command, with the tables that it adds when help is shown."""
    formatter = click.HelpFormatter(width=10_000)
    command.format_help_text(context, formatter)
    return formatter.getvalue()


def section(identifier: str, title: str, *content: nodes.Node) -> nodes.section:
    """A section with this title."""
    heading = nodes.title(title, "", *inline(title))
    return nodes.section("", heading, *content, ids=[nodes.make_id(identifier)])


def reference(
    name: str, command: click.Command, parent: click.Context | None = None
) -> list[nodes.Node]:
    """All of a command, its subcommands included."""
    context = click.Context(command, info_name=name.split()[-1], parent=parent)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    content: list[nodes.Node] = [nodes.literal_block(usage, usage, language="text")]
    content += paragraphs(described(command, context))
    for title, params in groups(command, context):
        if options := option_list(name, params, context):
            content.append(section(f"{name} {title}", title, options))
    if command.epilog:
        content.append(section(f"{name} examples", "Examples", *paragraphs(command.epilog)))
    for below, subcommand in sorted(getattr(command, "commands", {}).items()):
        typed = f"{name} {below}"
        content.append(section(typed, f"`{typed}`", *reference(typed, subcommand, context)))
    return content


class CommandDirective(SphinxDirective):
    """`command`: the reference of the console script that its argument names."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the content; Sphinx calls this."""
        (name,) = self.arguments
        content = reference(name, click_command(name))
        for node in content:
            for part in node.findall(nodes.section):
                self.state.document.note_explicit_target(part)
        return content


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive; Sphinx calls this."""
    app.add_directive("command", CommandDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
