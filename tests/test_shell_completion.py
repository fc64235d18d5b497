"""Shell completion: the script for bash, and what it completes, for every console script."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from .commands import PROJECT, all_commands
from .processes import run_process

BASH = shutil.which("bash")
COMMANDS = sorted(PROJECT["scripts"])


def variable(command: str) -> str:
    """The environment variable that asks a command for its completions."""
    return f"_{command.replace('-', '_').upper()}_COMPLETE"


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every console script, as pip writes it."""
    folder = tmp_path_factory.mktemp("scripts")
    for command, entry in PROJECT["scripts"].items():
        module, _, attribute = entry.partition(":")
        lines = [f"#!{sys.executable}", f"from {module} import {attribute}", f"{attribute}()"]
        (folder / command).write_text("\n".join(lines) + "\n")
        (folder / command).chmod(0o755)
    return folder


def completions(scripts: Path, *words: str) -> list[str]:
    """What bash offers for the last of these words, by the script that the command prints."""
    assert BASH
    command = words[0]
    function = f"_{command.replace('-', '_')}_completion"
    program = f"""
        source <({variable(command)}=bash_source {command}) || exit 1
        complete -p {command}
        COMP_WORDS=({shlex.join(words)})
        COMP_CWORD={len(words) - 1}
        {function} {command}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    result = run_process([BASH, "-c", program], env={**os.environ, "PATH": path})
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    registered, *offered = result.stdout.splitlines()
    assert function in registered
    return offered


@pytest.mark.skipif(BASH is None or os.name != "posix", reason="bash is not here")
class TestBash:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_completes_options_of_every_command(self, scripts: Path, command: str) -> None:
        assert completions(scripts, command, "--vers") == ["--version"]

    def test_completes_choices(self, scripts: Path) -> None:
        assert completions(scripts, "imavatar-run", "sample", "--camera", "f") == ["front"]

    def test_completes_subcommands(self, scripts: Path) -> None:
        assert completions(scripts, "imavatar-data", "c") == ["check", "convert"]

    def test_completes_the_command_that_need_not_be_named(self, scripts: Path) -> None:
        assert completions(scripts, "imavatar-eval", "run", "--mask")[:1] != []

    def test_an_option_that_ends_early_does_not_run(self, scripts: Path) -> None:
        offered = completions(scripts, "imavatar-export", "--list", "--version", "--storag")
        assert offered == ["--storage"]


@pytest.mark.parametrize("typed", sorted(all_commands()))
def test_parameters_of_any_text_complete_files(typed: str) -> None:
    command = all_commands()[typed]
    context = command.make_context(typed, [], resilient_parsing=True)
    for param in command.get_params(context):
        if isinstance(param.type, type(click.STRING)):
            (item,) = param.shell_complete(context, "tal")
            assert (item.type, item.value) == ("file", "tal")


def test_completion_of_an_avatar_is_by_the_shell() -> None:
    complete = BashComplete(all_commands()["imavatar-run"], {}, "imavatar-run", "_X")
    assert [item.type for item in complete.get_completions([], "my_av")] == ["file"]
