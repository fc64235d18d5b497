"""Python started in a checkout imports the checkout, however the package is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("exporters", "runtime", "training")

PLACES = """
import importlib, sys
import imavatar_deploy
from imavatar_deploy.runtime import Player
for name in ("", ".exporters", ".runtime", ".runtime.player", ".training"):
    print(importlib.import_module("imavatar_deploy" + name).__file__)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a plain `pip install` fills."""
    site = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(site)]
    command = [sys.executable, "-m", "pip", "install", *options, str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return site


Run = subprocess.CompletedProcess[str]


def python(*arguments: str, where: Path, site: Path | None = None) -> Run:
    """Run Python in the folder `where`; with `site`, the package is installed only there."""
    command = [sys.executable]
    environment = dict(os.environ)
    if site:
        command.append("-S")  # without the finder of an editable install
        dependencies = [path for path in sys.path if Path(path).name.endswith("-packages")]
        paths = [str(site), *dependencies, sysconfig.get_path("purelib")]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return subprocess.run(
        [*command, *arguments],
        cwd=where,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def places(run: Run) -> set[Path]:
    assert run.returncode == 0, run.stderr
    return {Path(line) for line in run.stdout.splitlines()}


IN_CHECKOUT = {ROOT / "imavatar_deploy/__init__.py", ROOT / "runtime/player.py"} | {
    ROOT / room / "__init__.py" for room in ROOMS
}


def test_a_plain_install_leaves_the_checkout_whole(installed: Path) -> None:
    assert places(python("-c", PLACES, where=ROOT, site=installed)) == IN_CHECKOUT


def test_elsewhere_the_installed_package_is_used(installed: Path, tmp_path: Path) -> None:
    package = installed / "imavatar_deploy"
    expected = {package / "__init__.py", package / "runtime/player.py"}
    expected |= {package / room / "__init__.py" for room in ROOMS}
    assert places(python("-c", PLACES, where=tmp_path, site=installed)) == expected


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_editable_install_keeps_its_rooms(tmp_path: Path, elsewhere: bool) -> None:
    assert places(python("-c", PLACES, where=tmp_path if elsewhere else ROOT)) == IN_CHECKOUT


def test_another_checkout_is_not_mixed_in(tmp_path: Path) -> None:
    """Python started in one checkout uses its rooms, though another is installed as editable."""
    for room in ROOMS:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("")
    (tmp_path / "runtime" / "player.py").write_text("")
    (tmp_path / "runtime" / "__init__.py").write_text("from .player import __name__ as Player")
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "imavatar_deploy").symlink_to(ROOT / "imavatar_deploy")
    files = places(python("-c", PLACES, where=tmp_path))
    assert files == {tmp_path / path.relative_to(ROOT) for path in IN_CHECKOUT}


def test_modules_run_by_name(installed: Path) -> None:
    module = "imavatar_deploy.training.commands.train"
    run = python("-m", module, "--help", where=ROOT, site=installed)
    assert run.returncode == 0, run.stderr
    assert "Exit codes" in run.stdout


@pytest.mark.parametrize("name", ["imavatar_deploy", "tests", "docs", "runtime.imavatar_deploy"])
def test_no_module_has_a_second_name(installed: Path, name: str) -> None:
    run = python("-c", f"import imavatar_deploy.{name}", where=ROOT, site=installed)
    assert "ModuleNotFoundError" in run.stderr


def test_links_for_editors_lead_to_the_rooms() -> None:
    links = {link.name: link.resolve() for link in (ROOT / ".editor" / "imavatar_deploy").iterdir()}
    assert links == {room: ROOT / room for room in ROOMS}
