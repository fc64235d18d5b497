"""Progress lines of a long export: one at the start of each step, more during long work."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.cli import command
from imavatar_deploy.cli.command import shown_progress
from imavatar_deploy.exporters import ExportSettings, MeshSettings, add_formats
from imavatar_deploy.exporters.commands.bake import bake
from imavatar_deploy.exporters.commands.export import export
from imavatar_deploy.exporters.report import ExportReport
from imavatar_deploy.progress import PERIOD, ProgressLines, quiet


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(export, [str(argument) for argument in arguments])


def test_lines_go_to_a_logger(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As docs/troubleshooting.md shows it; without `say` and `progress` nothing is written."""
    logger = logging.getLogger("export")
    lines = ProgressLines(logger.info)
    faces = tmp_path / "faces.json"
    faces.write_text('{"smile": {"expression": {"mouthSmileLeft": 1.0}}}')
    settings = ExportSettings(formats=("mesh",), mesh=MeshSettings(expressions=str(faces)))
    with caplog.at_level(logging.INFO, logger="export"):
        add_formats("sample", tmp_path / "quiet", settings)
        assert not caplog.messages
        add_formats("sample", tmp_path / "told", settings, say=lines.say, progress=lines)
    assert [message.split()[-1] for message in caplog.messages] == ["load", "mesh", "mesh", "write"]


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_long_work_reports_its_progress_periodically() -> None:
    clock, lines = Clock(), list[str]()
    progress = ProgressLines(lines.append, clock=clock)
    with progress("sampling", 2000) as advance:
        advance(1500)
        clock.now += PERIOD - 1
        advance(400)
    assert lines == []
    progress.say("a step")
    with progress("training", 6000) as advance:
        for _ in range(3):
            clock.now += PERIOD / 2
            advance(1000)
    assert lines[1:] == ["  39.0 s    training: 2,000 of 6,000"]
    with progress("waiting", None) as advance:
        clock.now += PERIOD / 2
        advance(7)
        clock.now += PERIOD
        advance(7)
    assert lines[2:] == ["  59.0 s    waiting: 7", "  79.0 s    waiting: 14"]


def test_a_step_is_announced_before_it_begins() -> None:
    lines: list[str] = []
    report = ExportReport(say=lines.append)
    with report.step("polish"):
        assert len(lines) == 1
        assert re.fullmatch(r" +0\.\d s  polish", lines[0])
    with report.step("polish"):
        pass
    assert list(report.seconds) == ["polish"]


def test_an_export_writes_a_line_for_every_step(checkpoint: Path, tmp_path: Path) -> None:
    options = ("--format", "glb", "--resolution", "64", "--faces", "500")
    result = call(checkpoint, "--out", tmp_path / "head", *options)
    assert result.exit_code == 0, result.output
    lines = re.findall(r"^ +\d+\.\d s  (\S.*)$", result.stderr, flags=re.MULTILINE)
    expected = ["load", "extract", "polish", "simplify", "bake", "glb", "check glb", "write"]
    assert lines == expected
    assert " s  load" not in result.stdout


def test_meshes_of_the_field_write_a_line_for_every_step(checkpoint: Path, tmp_path: Path) -> None:
    faces = tmp_path / "faces.json"
    faces.write_text('{"still": {}}')
    options = ("--format", "mesh", "--from-field", "--expressions", faces, "--resolution", 64)
    result = call(checkpoint, "--out", tmp_path / "head", *options)
    assert result.exit_code == 0, result.output
    lines = re.findall(r"^ +\d+\.\d s  (\S.*)$", result.stderr, flags=re.MULTILINE)
    assert lines == ["load", "mesh"]


def test_a_long_bake_reports_its_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imavatar_deploy.progress.PERIOD", 0.0)
    arguments = ["sample", "--format", "ply", "--frames", "0:3", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(bake, arguments)
    assert result.exit_code == 0, result.output
    assert re.search(r"^ +\d+\.\d s    baking frames: 3 of 3$", result.stderr, flags=re.MULTILINE)


def test_a_terminal_shows_bars_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert shown_progress() == (command.progress, quiet)
