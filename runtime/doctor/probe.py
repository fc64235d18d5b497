"""Probe: one row of the doctor's table, its result, and the process in which it runs."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

WORKS, MISSING, BROKEN = "works", "missing", "broken"


class AbsentError(Exception):
    """Raised by a probe whose part is not installed.

    Args:
        message: what is missing.
        mend: the remedy, where that of the row is not enough.
    """

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.mend = mend


@dataclass(frozen=True)
class Probe:
    """The test of one part."""

    name: str
    serves: str
    """The functions that need it, in a few words."""
    mend: str
    """The command that installs or repairs it."""
    probe: Callable[[], str]
    """Uses the part and returns the result in words; may raise any error. Runs in a process of its
    own."""
    core: bool = False
    """Whether every avatar needs it."""


@dataclass(frozen=True)
class ProbeResult:
    """The result of a probe."""

    name: str
    serves: str
    state: str  # WORKS, MISSING or BROKEN
    detail: str
    mend: str  # empty where the part works
    core: bool
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The fields for JSON."""
        return asdict(self)


# Isolation: a process for each probe, since a library may abort, hang or print

PROBE_SECONDS = 60.0
"""Time limit, seconds; the slowest part (the first compilation of a kernel on a busy core) takes
ten."""

OUTCOME_PREFIX = "imavatar-doctor:"
"""Start of the line with the outcome, whatever else a library prints."""

CHILD = """
import sys
sys.path[:] = filter(None, sys.path)  # no import of a folder called ray in the working folder
from imavatar_deploy.runtime.doctor.probe import report
report(*sys.argv[1:])
"""


def examine(probe: Probe, timeout: float = PROBE_SECONDS) -> ProbeResult:
    """Run a probe in a new process and return its result; never raises."""
    started = time.perf_counter()
    state, detail, mend = _outcome(probe, timeout)
    mend = "" if state == WORKS else mend or probe.mend
    seconds = round(time.perf_counter() - started, 2)
    return ProbeResult(probe.name, probe.serves, state, detail, mend, probe.core, seconds)


def _outcome(probe: Probe, timeout: float) -> tuple[str, str, str]:
    """State, detail, and a remedy where the row's own is not enough."""
    command = [sys.executable, "-c", CHILD, probe.probe.__module__, probe.probe.__qualname__]
    try:
        process = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            env=_environment(),
        )
    except subprocess.TimeoutExpired:
        return BROKEN, f"did not answer within {timeout:g} s", ""
    except OSError as error:
        return BROKEN, f"no process could be started ({error})", ""
    for line in process.stdout.splitlines():
        if line.startswith(OUTCOME_PREFIX):
            state, detail, mend = json.loads(line.removeprefix(OUTCOME_PREFIX))
            return state, detail, mend
    return BROKEN, _failure(process), ""


def _environment() -> dict[str, str]:
    """The environment of this process with its import path: a probe imports the same packages."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)}


def _failure(process: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in process.stderr.splitlines() if line.strip()]
    last = f": {lines[-1].strip()}" if lines else ""
    if process.returncode < 0:
        return f"the process was ended by {signal.Signals(-process.returncode).name}{last}"
    return f"the process ended with code {process.returncode} and no answer{last}"


def report(module: str, probe: str) -> None:
    """Run one probe and print its outcome: the work of the child process."""
    warnings.simplefilter("ignore")
    try:
        outcome = (WORKS, str(getattr(importlib.import_module(module), probe)()), "")
    except AbsentError as error:
        outcome = (MISSING, _sentence(error), error.mend)
    except BaseException as error:  # a module may even call sys.exit on import
        outcome = (BROKEN, _sentence(error), "")
    print(f"\n{OUTCOME_PREFIX}{json.dumps(outcome)}", flush=True)


def _sentence(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    first = lines[0] if lines else ""
    if isinstance(error, AbsentError):
        return first
    return f"{type(error).__name__}: {first}".rstrip(": ")
