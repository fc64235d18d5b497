"""`--frames` of every command: a range with one grammar, or a number of frames."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.cli.options import FRAMES_HELP, FRAMES_METAVAR, frames_of
from imavatar_deploy.errors import UsageError

from .commands import all_commands

RANGES = {
    "imavatar-bake": ["sample", "--format", "obj", "--out", "out"],
    "imavatar-data convert": ["talk", "out.json"],
    "imavatar-eval measure": ["sample", "--data", "data", "--out", "out"],
    "imavatar-run": ["sample", "--sink", "null"],
    "imavatar-send": ["talk"],
    "imavatar-train": ["data", "--out", "out"],
}
"""Commands whose --frames is a range -> their required arguments."""
COUNTS = {
    "imavatar-bench": ["sample"],
    "imavatar-data synth": ["--subject", "male1", "--out", "out"],
    "imavatar-data track": ["me.mp4", "--out", "out"],
    "imavatar-eval experiment": ["table2", "--out", "out"],
}
"""Commands whose --frames is a number of frames."""
NO_RANGES = ["5", "a:b", "0-10", "::0", "4:0:-1", "1:2:3:4", "", " 0:5", "0:5\n", "٣:"]


@pytest.fixture(scope="module")
def commands() -> dict[str, click.Command]:
    return all_commands()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(command: click.Command, arguments: list[str], frames: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--frames", frames])


def test_every_command_with_frames_is_here(commands: dict[str, click.Command]) -> None:
    with_frames = {
        name
        for name, command in commands.items()
        if any("--frames" in row.opts for row in command.params)
    }
    assert with_frames == {*RANGES, *COUNTS}


@pytest.mark.parametrize("name", RANGES)
def test_the_help_of_a_range_explains_it(commands: dict[str, click.Command], name: str) -> None:
    (option,) = [row for row in commands[name].params if "--frames" in row.opts]
    assert isinstance(option, click.Option)
    assert (option.metavar, option.default) == (FRAMES_METAVAR, ":")
    assert str(option.help).endswith(FRAMES_HELP)


@pytest.mark.parametrize("frames", NO_RANGES)
@pytest.mark.parametrize("name", RANGES)
def test_what_is_no_range_is_refused_by_every_command(
    commands: dict[str, click.Command], name: str, frames: str
) -> None:
    result = call(commands[name], RANGES[name], frames)
    assert result.exit_code == 2, result.output
    assert (
        f"--frames must be like 0:100, 50: or ::2 (first:end:step), got {frames!r}" in result.stderr
    )
    assert not list(Path().iterdir())


@pytest.mark.parametrize("frames", ["0", "-3", "0:10", "many"])
@pytest.mark.parametrize("name", COUNTS)
def test_what_is_no_count_is_refused_by_every_command(
    commands: dict[str, click.Command], name: str, frames: str
) -> None:
    result = call(commands[name], COUNTS[name], frames)
    assert result.exit_code == 2, result.output
    assert "Invalid value for '--frames'" in result.stderr


def test_a_number_alone_is_told_what_it_may_mean() -> None:
    with pytest.raises(
        UsageError, match=r"got '5'; the first 5 frames are 0:5, frame 5 alone is 5:6$"
    ):
        frames_of("5")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":", slice(None)),
        ("::", slice(None)),
        ("-5:", slice(-5, None)),
        (":-1", slice(None, -1)),
        ("0:9:3", slice(0, 9, 3)),
        ("::2", slice(None, None, 2)),
        ("5:6", slice(5, 6)),
    ],
)
def test_ranges_are_slices(text: str, expected: slice) -> None:
    assert frames_of(text) == expected
