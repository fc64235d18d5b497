"""A short run of the coverage-guided fuzzer over every reader: `python -m tests.fuzz.run`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ..processes import run_process
from .mutators import MUTATORS
from .targets import TARGETS, Target

REPOSITORY = Path(__file__).resolve().parents[2]
RUNS = 2000
"""Executions of the short run, which takes some five seconds on an idle core."""


def quick() -> dict[str, Target]:
    return {name: target for name, target in TARGETS.items() if not target.slow}


@pytest.mark.parametrize("name", TARGETS)
def test_the_valid_files_of_a_target_are_read(name: str, tmp_path: Path) -> None:
    """A seed that its reader refuses would hide what lies behind the first check."""
    (tmp_path / "made").mkdir()
    (tmp_path / "read").mkdir()
    target = TARGETS[name]
    assert target.kind in MUTATORS
    seeds = target.seeds(tmp_path / "made")
    assert seeds
    read = target.open(tmp_path / "read")
    for content in seeds:
        read(content)


def test_a_short_run_ends_without_a_traceback(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="the extra fuzz (atheris) is not installed")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, (name, target) in enumerate(quick().items()):
        folder = tmp_path / f"seeds-{number}"
        folder.mkdir()
        for index, content in enumerate(target.seeds(folder)):
            (corpus / f"seed-{name}-{index}").write_bytes(bytes([number]) + content)
    arguments = ["--runs", RUNS, "--corpus", corpus, "--crashes", tmp_path]
    command = [sys.executable, "-m", "tests.fuzz.run", "all", *map(str, arguments)]
    result = run_process(command, cwd=REPOSITORY, limit=240)
    assert result.returncode == 0, result.stderr[-6000:]
    assert not list(tmp_path.glob("crash-*"))
    assert len(list(corpus.iterdir())) > len(quick()), "contents with new coverage were kept"


def test_a_traceback_ends_a_run(tmp_path: Path) -> None:
    """The fuzzer itself: a reader that fails for one byte is caught, and the byte is kept."""
    pytest.importorskip("atheris", reason="the extra fuzz (atheris) is not installed")
    script = tmp_path / "broken.py"
    script.write_text(
        "import sys\n"
        "sys.argv = ['run', 'map.csv', '--runs', '4000', '--corpus', sys.argv[1], "
        "'--crashes', sys.argv[1] + '-crashes']\n"
        "from tests.fuzz import run, targets\n"
        "def broken(folder):\n"
        "    def read(content):\n"
        "        if content[:1] == b'!':\n"
        "            raise KeyError('no such row')\n"
        "    return read\n"
        "run.TARGETS['map.csv'] = targets.Target('bytes', lambda folder: [b'a'], broken)\n"
        "run.main()\n"
    )
    result = run_process(
        [sys.executable, str(script), str(tmp_path / "corpus")],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        limit=240,
    )
    assert result.returncode != 0
    assert "KeyError: 'no such row'" in result.stdout + result.stderr
    (crash,) = (tmp_path / "corpus-crashes").glob("crash-*")
    assert crash.read_bytes()[:1] == b"!"
