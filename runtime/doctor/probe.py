"""Checkup: one row of the doctor's table, and what it found."""

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
    """A probe's way to say that the part is not there, which is no fault; `mend` where the row's line is not enough."""

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.mend = mend


@dataclass(frozen=True)
class Probe:
    """How one part is tried."""

    name: str
    serves: str
    """What needs it, in a few words."""
    mend: str
    """The line that brings or mends it."""
    probe: Callable[[], str]
    """Use the part for real and say what came of it; raise whatever it raises. Runs in a process of its own."""
    core: bool = False
    """Nothing plays without it."""


@dataclass(frozen=True)
class ProbeResult:
    """What a checkup found."""

    name: str
    serves: str
    state: str  # WORKS, MISSING or BROKEN
    detail: str
    mend: str  # empty where nothing is to be mended
    core: bool
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


# Isolation: a checkup in a process of its own, so that a library that aborts, hangs or talks harms nothing here.


TIMEOUT = 60.0
"""Seconds; the slowest healthy part (the first compilation of a kernel on a busy core) takes ten."""

MARK = "imavatar-doctor:"
"""Begins the line that tells the outcome, whatever else a library prints."""

CHILD = """
import sys
sys.path[:] = filter(None, sys.path)  # a folder called ray where the doctor is asked is not the package
from imavatar_deploy.runtime.doctor.probe import report
report(*sys.argv[1:])
"""


def examine(checkup: Probe, timeout: float = TIMEOUT) -> ProbeResult:
    """Run the checkup's probe in a fresh process and say how it went; never raises."""
    started = time.perf_counter()
    state, detail, mend = _outcome(checkup, timeout)
    mend = "" if state == WORKS else mend or checkup.mend
    seconds = round(time.perf_counter() - started, 2)
    return ProbeResult(checkup.name, checkup.serves, state, detail, mend, checkup.core, seconds)


def _outcome(checkup: Probe, timeout: float) -> tuple[str, str, str]:
    """State, detail, and a line that mends it where the row's own does not."""
    command = [sys.executable, "-c", CHILD, checkup.probe.__module__, checkup.probe.__qualname__]
    try:
        done = subprocess.run(
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
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            state, detail, mend = json.loads(line.removeprefix(MARK))
            return state, detail, mend
    return BROKEN, _death(done), ""


def _environment() -> dict[str, str]:
    """This process' own, with the places it imports from: a probe must see what the user's programs see."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}


def _death(done: subprocess.CompletedProcess[str]) -> str:
    said = [line for line in done.stderr.splitlines() if line.strip()]
    last = f": {said[-1].strip()}" if said else ""
    if done.returncode < 0:
        return f"the process was ended by {signal.Signals(-done.returncode).name}{last}"
    return f"the process ended with code {done.returncode} and no answer{last}"


def report(module: str, probe: str) -> None:
    """What the child process does: run one probe and print the outcome."""
    warnings.simplefilter("ignore")
    try:
        outcome = (WORKS, str(getattr(importlib.import_module(module), probe)()), "")
    except AbsentError as error:
        outcome = (MISSING, _sentence(error), error.mend)
    except BaseException as error:  # a module may even call sys.exit on import
        outcome = (BROKEN, _sentence(error), "")
    print(f"\n{MARK}{json.dumps(outcome)}", flush=True)


def _sentence(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    said = lines[0] if lines else ""
    return (
        said if isinstance(error, AbsentError) else f"{type(error).__name__}: {said}".rstrip(": ")
    )
