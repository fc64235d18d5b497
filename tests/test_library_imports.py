"""Importing the library loads neither the console's libraries nor those of a GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "imavatar_deploy": "imavatar_deploy",
    **{room: f"imavatar_deploy.{room}" for room in ("exporters", "runtime", "training")},
}
COMMAND_LINE = {
    "imavatar_deploy.cli.command",
    "imavatar_deploy.cli.options",
    "imavatar_deploy.exporters.commands.bake",
    "imavatar_deploy.exporters.commands.export",
    "imavatar_deploy.exporters.commands",
    "imavatar_deploy.exporters.formats.format_option",
    "imavatar_deploy.exporters.formats.gltf.options",
    "imavatar_deploy.exporters.commands.options",
    "imavatar_deploy.runtime.bench.command",
    "imavatar_deploy.runtime.bench.options",
    "imavatar_deploy.runtime.bench.tables",
    "imavatar_deploy.runtime.commands",
    "imavatar_deploy.runtime.doctor.command",
    "imavatar_deploy.runtime.live.options",
    "imavatar_deploy.runtime.commands.options",
    "imavatar_deploy.runtime.commands.run",
    "imavatar_deploy.runtime.commands.send",
    "imavatar_deploy.runtime.commands.verify",
    "imavatar_deploy.training.commands.convert",
    "imavatar_deploy.training.commands.data",
    "imavatar_deploy.training.commands",
    "imavatar_deploy.training.commands.eval",
    "imavatar_deploy.training.experiments.command",
    "imavatar_deploy.training.commands.fit_map",
    "imavatar_deploy.training.commands.table_help",
    "imavatar_deploy.training.commands.track",
    "imavatar_deploy.training.commands.train",
    "imavatar_deploy.create.command",
    "imavatar_deploy.create.options",
    "imavatar_deploy.create.runner",
}
"""Modules of commands and their options; every other one is the library."""

CONSOLE_LIBRARIES = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    loaded = {"click", "rich"} & sys.modules.keys()
    assert not loaded, f"{name} loads {', '.join(loaded)}"
"""


def modules() -> list[str]:
    names = []
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            names.append(".".join([package, *parts]).removesuffix(".__init__"))
    return names


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_the_library_loads_neither_click_nor_rich() -> None:
    library = [name for name in modules() if name not in COMMAND_LINE]
    assert set(library) != set(modules())
    result = run(CONSOLE_LIBRARIES, *library)
    assert result.returncode == 0, result.stderr


def test_only_modules_of_the_command_line_are_excepted() -> None:
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    for loaded in [loaded for loaded in sys.modules if loaded.split('.')[0] in\n"
        "                   ('click', 'rich', 'imavatar_deploy')]:\n"
        "        del sys.modules[loaded]\n"
        "    importlib.import_module(name)\n"
        "    assert {'click', 'rich'} & sys.modules.keys(), name\n"
    )
    result = run(code, *sorted(COMMAND_LINE))
    assert result.returncode == 0, result.stderr


QUIET = """
import importlib, os, sys

def redirected(*arguments):
    raise AssertionError("a file descriptor was redirected")

os.dup2 = redirected
importlib.import_module("imavatar_deploy.runtime.warp_backend.library")
assert "warp" not in sys.modules, "library loads Warp"
for name in sys.argv[1:]:
    importlib.import_module(name)
import warp
assert warp._src.context.runtime is None, "Warp was started"
"""

STARTS = """
import os, sys, threading
from imavatar_deploy.runtime.warp_backend import library

calls = []
def init(of=library.wp.init):
    calls.append(threading.get_ident())
    of()
library.wp.init = init
together = threading.Barrier(8)
def start():
    together.wait(60)
    assert library.start() is library.wp
threads = [threading.Thread(target=start) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(60)
assert len(calls) == 1, calls
os.write(2, b"stderr is back")
"""


def test_importing_the_kernels_does_not_start_warp() -> None:
    pytest.importorskip("warp", reason="pip install 'imavatar-deploy[cuda]'")
    kernels = [
        name for name in modules() if name.startswith("imavatar_deploy.runtime.warp_backend")
    ]
    result = run(QUIET, *kernels)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_warp_starts_once_whatever_threads_ask() -> None:
    pytest.importorskip("warp", reason="pip install 'imavatar-deploy[cuda]'")
    result = run(STARTS)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "stderr is back")
