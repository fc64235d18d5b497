"""Folders that one process of a test run writes and all of its processes read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

LIMIT = 900.0
"""Seconds to wait for another process that writes the folder."""


def shared_folder(
    factory: pytest.TempPathFactory, name: str, write: Callable[[Path], None]
) -> Path:
    """Return a folder that is written once for all processes of pytest-xdist.

    The first process that asks for it writes it; the others wait. Do not write into it.

    Args:
        factory: pytest's temporary folders. Those of all processes have one parent.
        name: name of the folder, unique in the test run.
        write: writes files into the new folder.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        folder = factory.mktemp(name)
        write(folder)
        return folder
    folder = factory.getbasetemp().parent / name
    complete = folder.with_name(f"{name}.complete")
    with FileLock(folder.with_name(f"{name}.lock"), timeout=LIMIT):
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
            folder.mkdir()
            write(folder)
            complete.touch()
    return folder
