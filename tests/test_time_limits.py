"""Time limits: every process and every wait of a test has one, and a hang prints its stack."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import out_of_time
from .processes import ProcessLimitError, run_python, started

TESTS = Path(__file__).resolve().parent
FILES = sorted(path for path in TESTS.rglob("*.py") if path != TESTS / "processes.py")

STARTERS = {"run", "call", "check_call", "check_output", "Popen"}
"""Functions of `subprocess` that start a process."""
WAITS = {"accept", "acquire", "communicate", "get", "join", "recv", "result", "wait"}
"""Methods that wait without limit when they are called without arguments."""
CONNECTIONS = {"HTTPConnection", "HTTPSConnection", "create_connection", "urlopen"}
"""Functions that wait on a socket without limit unless they have a `timeout`."""
RECEIVERS = {"accept", "recv", "recv_into", "recvfrom", "recvfrom_into"}
"""Methods of a socket that wait as long as the socket's timeout."""


def unlimited(source: str) -> Iterator[tuple[int, str]]:
    """Yield the calls of a test file that may wait without limit: (line, call)."""
    tree = ast.parse(source)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    methods = {node.func.attr for node in calls if isinstance(node.func, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("multiprocessing", "subprocess"):
            yield from (
                (node.lineno, alias.name)
                for alias in node.names
                if alias.name != "CompletedProcess"
            )
        elif isinstance(node, ast.Import):
            yield from (
                (node.lineno, alias.name) for alias in node.names if alias.name == "multiprocessing"
            )
    for node in calls:
        function = node.func
        keywords = {keyword.arg for keyword in node.keywords}
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
        if (owner == "subprocess" and name in STARTERS and "timeout" not in keywords) or (
            owner == "os" and name in ("fork", "popen", "system")
        ):
            yield node.lineno, f"{owner}.{name}"
        elif owner and name in WAITS and not node.args and not node.keywords:
            yield node.lineno, f"{owner}.{name}()"
        elif name in CONNECTIONS and "timeout" not in keywords:
            yield node.lineno, name
        elif owner and name in RECEIVERS and not methods & {"setblocking", "settimeout"}:
            yield node.lineno, f"{owner}.{name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_every_process_and_wait_has_a_limit(path: Path) -> None:
    without = [
        f"{path}:{line}: {what}" for line, what in unlimited(path.read_text(encoding="utf-8"))
    ]
    assert not without, "start processes by tests/processes.py, and give every wait a timeout"


@pytest.mark.parametrize(
    "line",
    [
        "subprocess.run(command, check=True)",
        "subprocess.Popen(command)",
        "from subprocess import run",
        "import multiprocessing",
        "os.system('true')",
        "thread.join()",
        "event.wait()",
        "future.result()",
        "queue.get()",
        "create_connection(place)",
        "own.recvfrom(100)",
    ],
)
def test_what_may_wait_for_ever_is_named(line: str) -> None:
    assert list(unlimited(line))


@pytest.mark.parametrize(
    "line",
    [
        "subprocess.run(command, timeout=10)",
        "from subprocess import CompletedProcess",
        "', '.join(names)",
        "thread.join(10)",
        "event.wait(timeout=10)",
        "names.get('one')",
        "own.settimeout(10), own.recvfrom(100)",
    ],
)
def test_what_has_a_limit_is_fine(line: str) -> None:
    assert not list(unlimited(line))


def test_a_process_that_hangs_shows_its_stack() -> None:
    began = time.monotonic()
    with pytest.raises(
        ProcessLimitError, match=r"(?s)not finished after 2 s.*says this.*in stand_still"
    ) as caught:
        run_python(
            """
import sys, time
def stand_still():
    print("says this", file=sys.stderr, flush=True)
    time.sleep(600)
stand_still()
""",
            limit=2,
        )
    assert time.monotonic() - began < 60, caught.value


@pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="descendants are found in /proc"
)
def runs(number: int) -> bool:
    """Return whether a process of that number runs and is no zombie."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_descendants_that_hang_show_their_stack_and_end() -> None:
    """A launcher ends and leaves a worker with its pipes and its own session."""
    worker = "import os, sys, time; os.setsid(); print(os.getpid(), flush=True); time.sleep(600)"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {worker!r}])"
    with (
        pytest.raises(ProcessLimitError, match="Fatal Python error: Aborted"),
        started([sys.executable, "-c", code], limit=3) as child,
    ):
        orphan = int(child.line())
        child.finish()
    deadline = time.monotonic() + 30
    while runs(orphan):
        assert time.monotonic() < deadline, "the worker still runs half a minute after SIGKILL"
        time.sleep(0.05)


def test_a_process_ends_with_its_context() -> None:
    with started(
        [sys.executable, "-c", "import time; print('began', flush=True); time.sleep(600)"]
    ) as child:
        assert child.line() == "began\n"
    assert child.process.returncode is not None
    assert isinstance(child.process, subprocess.Popen)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="there is no SIGALRM on this system")
def test_a_test_that_hangs_shows_the_stacks_of_all_threads(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert signal.getsignal(signal.SIGALRM) is out_of_time
    assert signal.alarm(1) > 0, "the limit of this very test"
    with pytest.raises(pytest.fail.Exception, match="not finished after 1200 s"):
        time.sleep(30)
    assert "in test_a_test_that_hangs_shows_the_stacks" in capfd.readouterr().err
