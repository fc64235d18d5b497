"""Processes that tests start: one that exceeds its time limit prints its stack and is killed."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

LIMIT = 300.0
"""Seconds. The slowest healthy child needs a tenth of them on an idle core."""
GRACE = 3.0
"""Seconds for a process to write its stack after SIGABRT, before SIGKILL."""
MARK = "IMAVATAR_TEST_PROCESS"
"""Environment variable that identifies a process of a test and all its descendants."""


class ProcessLimitError(AssertionError):
    """A process that did not end within its limit; the message holds its output and its stack."""


class Child:
    """A started process. Use it through `started`, which ends it."""

    def __init__(self, process: subprocess.Popen[str], stderr: IO[str], mark: str) -> None:
        self.process = process
        self._stderr = stderr
        self._mark = mark
        self.exceeded = False

    def line(self) -> str:
        """Return the next line of the standard output; an empty string at its end."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def finish(self) -> subprocess.CompletedProcess[str]:
        """Wait for the end of the process and return its exit code and the rest of its output."""
        assert self.process.stdout is not None
        stdout = self.process.stdout.read()
        returncode = self.process.wait(LIMIT)
        return subprocess.CompletedProcess(self.process.args, returncode, stdout, self.stderr())

    def stderr(self) -> str:
        """Return what the process and its descendants have written to the standard error so far."""
        self._stderr.seek(0)
        return self._stderr.read()

    def end(self) -> None:
        """Make the process and its descendants write their Python stacks, and kill them."""
        self._send(signal.SIGABRT)
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and self.family():
            self.process.poll()
            time.sleep(0.05)
        self._send(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)

    def family(self) -> list[int]:
        """Return the numbers of the process and of its descendants that still run."""
        return _family(self.process, self._mark)

    def _send(self, number: int) -> None:
        for process in self.family():
            with suppress(ProcessLookupError):
                os.kill(process, number)


@contextmanager
def started(
    command: Sequence[str],
    *,
    limit: float = LIMIT,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Child]:
    """Start a process that ends with this context.

    Args:
        command: the program and its arguments.
        limit: seconds from the start to the end of the process.
        cwd: its working directory.
        env: its environment; this process' own when left out. `PYTHONFAULTHANDLER` is added.

    Raises:
        ProcessLimitError: the limit was exceeded; the process and its descendants are killed.
    """
    mark = uuid.uuid4().hex
    environment = {**(os.environ if env is None else env), "PYTHONFAULTHANDLER": "1", MARK: mark}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr:
        process = subprocess.Popen(
            list(command),
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            errors="replace",
        )
        child = Child(process, stderr, mark)

        def expire() -> None:
            child.exceeded = True
            child.end()

        timer = threading.Timer(limit, expire)
        timer.daemon = True
        timer.start()
        try:
            yield child
        finally:
            timer.cancel()
            timer.join(2 * GRACE)
            if child.family():
                child.end()
            process.communicate(timeout=2 * GRACE)
            if child.exceeded:
                raise ProcessLimitError(_report(child, limit))


def run_process(
    command: Sequence[str],
    *,
    limit: float = LIMIT,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a process to its end, as `subprocess.run` with captured text; arguments as of `started`.

    Raises:
        ProcessLimitError: the limit was exceeded; the process and its descendants are killed.
    """
    with started(command, limit=limit, cwd=cwd, env=env) as child:
        return child.finish()


def run_python(
    code: str,
    *arguments: str,
    limit: float = LIMIT,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run Python code in a fresh interpreter of this environment, as `run_process` does.

    Raises:
        ProcessLimitError: the limit was exceeded.
    """
    return run_process([sys.executable, "-c", code, *arguments], limit=limit, cwd=cwd, env=env)


def _report(child: Child, limit: float) -> str:
    command = (
        shlex.join(map(str, child.process.args))
        if isinstance(child.process.args, list)
        else child.process.args
    )
    stderr = f"--- its standard error, with its stack ---\n{child.stderr()}"
    return f"not finished after {limit:g} s: {command}\n{stderr}"


def _family(process: subprocess.Popen[str], mark: str) -> list[int]:
    """The process and its descendants, orphans too, by the mark that their environment inherits.

    Without /proc (outside Linux) it is the process alone.
    """
    if not Path("/proc/self/environ").exists():
        return [] if process.poll() is not None else [process.pid]
    family = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # the process has ended, or belongs to another user
            if f"{MARK}={mark}".encode() in environ.read_bytes().split(b"\0"):
                family.append(int(environ.parent.name))
    return family
