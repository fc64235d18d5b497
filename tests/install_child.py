"""A program that calls commands in an environment in which some packages are blocked.

    python install_child.py '{"blocked": ["torch"], "calls": [["imavatar-train", "data"]],
                              "helps": true, "folder": "out"}'

Each call has a new working directory below the folder. With helps, every command and subcommand is
then asked for --help. The last line that it prints is a JSON list of what each call returned,
printed and wrote.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
import traceback
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from commands import PROJECT, click_command, with_subcommands

REQUEST = json.loads(sys.argv[1])


class Blocking:
    """A finder that does not find blocked packages, as if they were not installed."""

    def __init__(self, finder: Any) -> None:
        self.finder = finder

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        blocked = name.split(".")[0] in REQUEST["blocked"]
        return None if blocked else self.finder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)


def call(arguments: list[str]) -> dict[str, Any]:
    """Call a command as its console script does; the exit code of a traceback is None."""
    module, _, attribute = PROJECT["scripts"][arguments[0]].partition(":")
    out = io.StringIO()
    err = io.StringIO()
    code = 0
    sys.argv = list(arguments)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            getattr(importlib.import_module(module), attribute)()
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            code = None
            traceback.print_exc()
    return {
        "arguments": arguments,
        "code": code,
        "stdout": out.getvalue(),
        "stderr": err.getvalue(),
    }


def helps() -> Iterator[dict[str, Any]]:
    """Call every command and subcommand with --help."""
    for name, entry in PROJECT["scripts"].items():
        yield call([name, "--help"])
        with contextlib.suppress(Exception):  # its own help has failed already
            _, *below = with_subcommands(name, click_command(entry))
            yield from (call([*typed.split(), "--help"]) for typed, _ in below)


def call_in(folder: Path, arguments: list[str]) -> dict[str, Any]:
    """Call a command in a new working directory."""
    folder.mkdir(parents=True)
    os.chdir(folder)
    return call(arguments) | {"written": sorted(path.name for path in folder.iterdir())}


if __name__ == "__main__":
    sys.meta_path[:] = map(Blocking, sys.meta_path)  # type: ignore[arg-type]
    root = Path(REQUEST["folder"])
    results = [call_in(root / str(index), line) for index, line in enumerate(REQUEST["calls"])]
    if REQUEST["helps"]:
        results += helps()
    print("\n" + json.dumps(results))
