"""Where the programs are that open our files, and how they are run.

`make consumers` installs them: Python packages in `.venv-consumers`, those of npm below `tools`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ..processes import run_process

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).parent

PYTHON = os.environ.get(
    "IMAVATAR_CONSUMERS",
    str(ROOT / ".venv-consumers" / ("Scripts" if sys.platform == "win32" else "bin") / "python"),
)
"""Interpreter that has the Python packages."""

NODE_MODULES = Path(os.environ.get("IMAVATAR_NODE_MODULES", ROOT / "tools" / "node_modules"))
"""Folder of npm's packages."""


@cache
def has_module(name: str) -> bool:
    """Whether the interpreter of the programs can find a module."""
    if shutil.which(PYTHON) is None:
        return False
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({name!r}) is None)"
    return run_process([PYTHON, "-c", code]).returncode == 0


def run_python_program(module: str, script: str, *arguments: Any) -> dict[str, NDArray[Any]]:
    """Run a script in the interpreter of the programs; return the arrays that it stored.

    Args:
        module: of the program; without it, the test is skipped.
        script: in this folder.
        arguments: of the script; the last one is the path of the .npz to write.
    """
    if not has_module(module):
        pytest.skip(f"{module} is not there: make consumers installs it")
    result = run_process([PYTHON, str(SCRIPTS / script), *map(str, arguments)])
    assert result.returncode == 0, result.stdout + result.stderr
    with np.load(str(arguments[-1])) as arrays:
        return dict(arrays)


def run_three(file: Path, requests: list[dict[str, Any]], out: Path) -> dict[str, Any]:
    """Load a GLB or VRM by three.js; return its mesh for every request, and what it holds."""
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / "@pixiv" / "three-vrm").is_dir():
        pytest.skip("three.js or three-vrm is not there: make consumers installs them")
    script = SCRIPTS / "three.mjs"
    command = [node, str(script), str(NODE_MODULES), str(file), json.dumps(requests), str(out)]
    result = run_process(command)
    assert result.returncode == 0, result.stdout + result.stderr
    content: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return content
