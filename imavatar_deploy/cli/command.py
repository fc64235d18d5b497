"""The base class of commands: error messages, exit codes, signals, progress and closing lines."""

from __future__ import annotations

import errno
import importlib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from imavatar_deploy.errors import ImavatarError, UsageError
from imavatar_deploy.progress import Advance, ProgressLines, Say, human_bytes, quiet, tell
from imavatar_deploy.progress import Progress as ProgressProtocol

from .output_streams import tolerant_streams

SIGNAL_EXIT_BASE = 128
"""Added to the number of the signal that ends a program, it is the exit code that shells expect."""

INTERRUPT_EXIT_CODE = 130
"""Exit code of a program that Ctrl-C ends."""

EXIT_CODES = (
    "Exit codes: 0 done, 2 usage, 3 parity or quality, 4 budget, "
    "5 missing dependency or device, 6 unreadable input."
)


def start(module: str, command: str) -> None:
    """Run a command of `module`; a missing package ends it with one sentence.

    Args:
        module: dotted name of the module.
        command: name of the click command in it.
    """
    # By default torch's threads spin while they wait and take the cores from other processes: an
    # evaluation of one minute took ten beside a training.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with _streams():
        try:
            run = getattr(importlib.import_module(module), command)
        except ImavatarError as error:
            click.echo(f"{Path(sys.argv[0]).stem}: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo(f"{Path(sys.argv[0]).stem}: interrupted before it began", err=True)
            sys.exit(INTERRUPT_EXIT_CODE)
        run()


def _streams() -> AbstractContextManager[None]:
    """Streams that tolerate any output; none for shell completions, which click prints as bytes."""
    program = Path(sys.argv[0]).stem
    completion = f"_{program}_COMPLETE".replace("-", "_").upper()
    return nullcontext() if os.environ.get(completion) else tolerant_streams()


ARGUMENT_AND_OPTION = re.compile(r"[\w.]+=\w+ \((--[a-z][^()]*)\)")
"""An argument of a function and the option for it, as in messages of the library:
`overwrite=True (--overwrite)`."""


def command_wording(error: ImavatarError) -> str:
    """The message of an error with options alone, in place of arguments of functions."""
    return ARGUMENT_AND_OPTION.sub(r"\1", str(error))


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP arrived; its argument is the signal's number. Handled like Ctrl-C."""


def _show_version(context: click.Context, option: click.Parameter, requested: bool) -> None:
    """Print name and version of the program and end; the callback of `--version`."""
    if requested and not context.resilient_parsing:
        program = Path(context.find_root().info_name or "").stem
        click.echo(f"{program} (imavatar-deploy) {version('imavatar-deploy')}")
        context.exit()


def version_option() -> click.Option:
    """Return a new `--version`, which every command and every group of commands has."""
    return click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_version,
        help="Show the version and exit.",
    )


class _TextOrPath(click.types.StringParamType):
    """Text for which a shell completes names of files: a source, a sink or an avatar may be one."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Ask the shell for files; click calls this."""
        return [CompletionItem(incomplete, type="file")]


def complete_files(params: Sequence[click.Parameter]) -> None:
    """Let a shell complete names of files where a parameter takes any text."""
    for param in params:
        if param.type is click.STRING:
            param.type = _TextOrPath()


class CommandGroup(click.Group):
    """A group of commands; like each of them it has `--version`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(version_option())


ENDING_SIGNALS = [getattr(signal, name) for name in ("SIGHUP", "SIGTERM") if hasattr(signal, name)]
"""Signals that end a process. Windows has no SIGHUP."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Raise `Terminated` for a signal that would end the process without clean-up."""

    def stop(number: int, frame: object) -> None:
        raise Terminated(number)

    if threading.current_thread() is not threading.main_thread():  # no other may handle signals
        yield
        return
    # Under nohup SIGHUP is ignored and stays so.
    numbers = [number for number in ENDING_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


PARSE_ONLY = "IMAVATAR_PARSE_ONLY"
"""Environment variable with which a command parses its options and ends before its work."""


class Command(click.Command):
    """A click command that reports an ImavatarError in one sentence and returns its exit code.

    With `--debug`, the exception is raised instead.

    Args:
        interrupted: end of the message after an interruption, or a function that makes it of the
            values of the parameters.
    """

    def __init__(
        self,
        *args: Any,
        interrupted: str | Callable[[Mapping[str, Any]], str] = "nothing half-written is left",
        **kwargs: Any,
    ) -> None:
        self._interrupted = interrupted
        kwargs["epilog"] = f"{kwargs.get('epilog') or ''}\n\n{EXIT_CODES}"
        super().__init__(*args, **kwargs)
        debug = click.Option(["--debug"], is_flag=True, help="Show the traceback of an error.")
        self.params += [debug, version_option()]
        complete_files(self.params)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run as a program; report a full disk in one sentence."""
        with _streams():
            try:
                return super().main(*args, **kwargs)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                tell(
                    f"{self.name}: there is no room left where it writes ({error}); "
                    "complete files are kept"
                )
                sys.exit(UsageError.exit_code)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the options; report an ImavatarError of an option, such as --list."""
        try:
            return super().make_context(*args, **kwargs)
        except ImavatarError as error:
            tell(f"{Path(sys.argv[0]).stem}: {command_wording(error)}")
            sys.exit(error.exit_code)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; report an ImavatarError or an interruption."""
        debug = ctx.params.pop("debug")
        if os.environ.get(PARSE_ONLY):
            return None
        try:
            with _terminable():
                return super().invoke(ctx)
        except ImavatarError as error:
            if debug:
                raise
            click.echo(f"{ctx.command_path}: {command_wording(error)}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt as stop:
            end = self._interrupted
            end = end if isinstance(end, str) else end(ctx.params)
            click.echo(f"{ctx.command_path}: interrupted, {end}", err=True)
            ctx.exit(
                SIGNAL_EXIT_BASE + stop.args[0]
                if isinstance(stop, Terminated)
                else INTERRUPT_EXIT_CODE
            )


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Advance]:
    """A `Progress` that draws a bar with elapsed and remaining time where stderr is a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as bar:
        task = bar.add_task(description, total=total)
        yield lambda steps: bar.advance(task, steps)


def shown_progress() -> tuple[ProgressProtocol, Say]:
    """Return the progress of commands on stderr, bars on a terminal and lines elsewhere.

    Returns:
        The `Progress`, and a function that writes a line where there are no bars.
    """
    if sys.stderr.isatty():
        return progress, quiet
    lines = ProgressLines(tell)
    return lines, lines.say


def closing_lines(written: Sequence[Path], seconds: float, then: Sequence[str]) -> str:
    """Return the last lines of a command.

    Args:
        written: files and folders that it wrote; their sizes are added.
        seconds: how long it took.
        then: commands that a user may run next.
    """
    sizes = [f"wrote {path}{_size(path)}" for path in written]
    return "\n".join([*sizes, f"took {seconds:.1f} s", *(f"next: {command}" for command in then)])


def rows_help(table: Mapping[str, object]) -> str:
    """Return `name: description; ...` for the help of an option that takes the name of a row.

    Args:
        table: name -> row with a `description`, or the description itself.
    """
    return "; ".join(f"{name}: {getattr(row, 'description', row)}" for name, row in table.items())


def _size(path: Path) -> str:
    """Return the size in parentheses; empty for a device or a pipe."""
    if path.is_dir():
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    elif path.is_file():
        size = path.stat().st_size
    else:
        return ""
    return f" ({human_bytes(size)})"
