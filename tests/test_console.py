"""Commands: one sentence and an exit code for every ImavatarError, a traceback with --debug."""

from __future__ import annotations

import errno
import signal
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from imavatar_deploy import errors
from imavatar_deploy.cli.command import ENDING_SIGNALS, PARSE_ONLY, Command, closing_lines
from imavatar_deploy.optional import require
from imavatar_deploy.progress import human_bytes, tell

from .commands import all_commands
from .processes import started

TREE = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.ImavatarError)
]


def failing(error: Exception) -> click.Command:
    @click.command(cls=Command)
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize("kind", TREE)
def test_error_becomes_a_sentence_and_its_exit_code(kind: type[errors.ImavatarError]) -> None:
    result = CliRunner().invoke(failing(kind("what came, what to do")), [])
    assert result.exit_code == kind.exit_code
    assert result.stderr == "command: what came, what to do\n"


def test_messages_name_options_and_no_arguments_of_functions() -> None:
    """The library's own wording fits both; a command shows that of its options."""
    error = errors.UsageError(
        "pass resume=True (--resume), overwrite=True (--overwrite) or proof.allow_drift=REASON "
        "(--allow-drift REASON); x=1 (one)"
    )
    result = CliRunner().invoke(failing(error), [])
    assert result.stderr == (
        "command: pass --resume, --overwrite or --allow-drift REASON; x=1 (one)\n"
    )


def test_parsing_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PARSE_ONLY, "1")
    assert CliRunner().invoke(failing(errors.UsageError("no")), []).exit_code == 0
    assert CliRunner().invoke(failing(errors.UsageError("no")), ["--what"]).exit_code == 2


def test_debug_keeps_the_traceback() -> None:
    result = CliRunner().invoke(failing(errors.UsageError("no")), ["--debug"])
    assert isinstance(result.exception, errors.UsageError)


def test_our_own_bugs_are_not_dressed_up() -> None:
    result = CliRunner().invoke(failing(errors.InternalError("broken promise")), [])
    assert isinstance(result.exception, errors.InternalError)


def test_help_lists_exit_codes() -> None:
    assert (
        "Exit codes: 0 done"
        in CliRunner().invoke(failing(errors.UsageError("no")), ["--help"]).output
    )


@pytest.mark.parametrize("typed", sorted(all_commands()))
def test_every_command_and_group_has_a_version(typed: str) -> None:
    result = CliRunner().invoke(all_commands()[typed], ["--version"], prog_name=typed)
    assert result.exit_code == 0
    assert result.stdout == f"{typed} (imavatar-deploy) {version('imavatar-deploy')}\n"


def test_a_version_is_that_of_the_program() -> None:
    run = CliRunner().invoke(all_commands()["imavatar-data"], ["synth", "--version"], prog_name="x")
    assert run.stdout == f"x (imavatar-deploy) {version('imavatar-deploy')}\n"


def test_missing_package_says_the_line_that_brings_it() -> None:
    with pytest.raises(
        errors.MissingDependencyError, match=r"pip install 'imavatar-deploy\[gpu\]'"
    ):
        require("a_package_that_is_not_there", extra="gpu")


def test_unknown_name_lists_and_suggests() -> None:
    error = errors.unknown_name("format", "onyx", ["onnx", "glb"])
    assert str(error) == "unknown format 'onyx': expected one of glb, onnx; did you mean 'onnx'?"


def test_closing_lines(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("avatar")
    (folder / "a").write_bytes(b"x" * 1500)
    assert closing_lines([folder], 1.25, ["imavatar-verify x"]).splitlines() == [
        f"wrote {folder} (1.5 kB)",
        "took 1.2 s",
        "next: imavatar-verify x",
    ]
    assert human_bytes(12_340_000) == "12.3 MB"


@pytest.mark.parametrize("number", ENDING_SIGNALS)
def test_an_end_from_outside_clears_up_like_ctrl_c(tmp_path: Path, number: int) -> None:
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("this signal is ignored here, as under nohup, and stays so")
    script = tmp_path / "long.py"
    script.write_text(
        "import click, time\n"
        "from pathlib import Path\n"
        "from imavatar_deploy.atomic import atomic_folder\n"
        "from imavatar_deploy.cli.command import Command\n"
        "@click.command(cls=Command)\n"
        "def work():\n"
        "    with atomic_folder(Path('out'), marker='m', overwrite=False):\n"
        "        print('began', flush=True)\n"
        "        time.sleep(60)\n"
        "work()\n"
    )
    with started([sys.executable, str(script)], cwd=tmp_path, limit=60) as child:
        assert child.line() == "began\n"
        child.process.send_signal(number)
        result = child.finish()
    assert result.returncode == 128 + number
    assert result.stderr.endswith("interrupted, nothing half-written is left\n")
    assert [path.name for path in tmp_path.iterdir()] == ["long.py"]


def test_a_full_disk_is_a_sentence() -> None:
    result = CliRunner().invoke(failing(OSError(errno.ENOSPC, "No space left on device")), [])
    assert result.exit_code == 2
    assert result.stderr.startswith("command: there is no room left where it writes")


def test_a_log_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("builtins.print", full)
    tell("a note")
