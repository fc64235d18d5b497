"""Packaging: the installed packages, assets and entry points are those in the checkout."""

from __future__ import annotations

import importlib.metadata
import sys
import zipfile
from pathlib import Path

import pytest

from .processes import run_process, run_python

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = CONFIG["tool"]["setuptools"]["package-dir"]


def test_packages_listed_by_hand_are_those_on_disk() -> None:
    on_disk = {
        ".".join([package, *init.parent.relative_to(ROOT / folder).parts])
        for package, folder in FOLDERS.items()
        for init in (ROOT / folder).rglob("__init__.py")
    }
    assert on_disk == set(CONFIG["tool"]["setuptools"]["packages"])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(out),
        str(ROOT),
    ]
    result = run_process(command)
    assert result.returncode == 0, result.stderr
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_wheel_holds_every_module_and_asset(wheel: zipfile.ZipFile) -> None:
    expected = {
        Path(package.replace(".", "/"), path.relative_to(ROOT / folder)).as_posix()
        for package, folder in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == expected


def test_assets_stay_under_25_megabytes() -> None:
    assets = ROOT / "imavatar_deploy" / "assets"
    assert sum(path.stat().st_size for path in assets.rglob("*") if path.is_file()) < 25e6


@pytest.mark.parametrize("command", sorted(CONFIG["project"]["scripts"]))
def test_every_command_teaches(command: str) -> None:
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name=command)
    result = run_python(f"from {entry.module} import {entry.attr}; {entry.attr}()", "--help")
    assert result.returncode == 0, result.stderr
    assert command in result.stdout, "an example to paste"
    assert "Exit codes" in result.stdout
