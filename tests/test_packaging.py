"""What is built and installed is what git tracks: packages, assets, documents, entry points."""

from __future__ import annotations

import email
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from .processes import run_process, run_python

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSION = CONFIG["project"]["version"]
FOLDERS = CONFIG["tool"]["setuptools"]["package-dir"]
DOCUMENTS = {
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "NOTICE",
    "README.md",
    "SECURITY.md",
    "pyproject.toml",
}
"""Of the root; they are in the source distribution beside `docs/`, `examples/` and the packages."""


def test_packages_listed_by_hand_are_those_on_disk() -> None:
    on_disk = {
        ".".join([package, *init.parent.relative_to(ROOT / folder).parts])
        for package, folder in FOLDERS.items()
        for init in (ROOT / folder).rglob("__init__.py")
    }
    assert on_disk == set(CONFIG["tool"]["setuptools"]["packages"])


def tracked_files() -> set[str]:
    """The files that git tracks, relative to the root, without those deleted since."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone: the list of files is git's")
    listing = run_process([git, "ls-files", "-z"], cwd=ROOT)
    assert listing.returncode == 0, listing.stderr
    return {name for name in listing.stdout.split("\0") if name and (ROOT / name).exists()}


@dataclass(frozen=True)
class Build:
    """Source distribution and wheel, built from the tracked files."""

    tracked: set[str]
    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    pytest.importorskip("build", reason="needs pip install '.[dev]'")
    tracked = tracked_files()
    clean = tmp_path_factory.mktemp("clean")
    for name in tracked:
        (clean / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clean / name, follow_symlinks=False)
    out = tmp_path_factory.mktemp("dist")
    # The wheel is built from the source distribution, which therefore holds all that it needs.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(clean)]
    result = run_process(command)
    assert result.returncode == 0, result.stderr
    return Build(tracked, next(out.glob("*.tar.gz")), next(out.glob("*.whl")))


def test_wheel_holds_every_module_and_asset(build: Build) -> None:
    packages = sorted(FOLDERS.items(), key=lambda row: -len(row[0]))
    expected = {
        f"{package.replace('.', '/')}{name.removeprefix(folder)}"
        for package, folder in packages
        for name in build.tracked
        if name.startswith(f"{folder}/")
    }
    files = {name for name in zipfile.ZipFile(build.wheel).namelist() if ".dist-info/" not in name}
    assert files == expected


def test_source_distribution_holds_packages_and_documents(build: Build) -> None:
    roots = (*FOLDERS.values(), "docs", "examples")
    expected = {name for name in build.tracked if name.split("/")[0] in roots} | (
        DOCUMENTS & build.tracked
    )
    with tarfile.open(build.sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    generated = {name for name in names if ".egg-info/" in name} | {"PKG-INFO", "setup.cfg"}
    assert names - generated == expected


def test_metadata_is_what_an_index_accepts(build: Build) -> None:
    pytest.importorskip("twine", reason="needs pip install '.[dev]'")
    command = [sys.executable, "-m", "twine", "check", "--strict"]
    result = run_process([*command, str(build.sdist), str(build.wheel)])
    assert result.returncode == 0, result.stdout + result.stderr


def test_wheel_has_this_version_and_its_licence(build: Build) -> None:
    info = f"imavatar_deploy-{VERSION}.dist-info"
    with zipfile.ZipFile(build.wheel) as archive:
        metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
        licence = archive.read(f"{info}/licenses/LICENSE")
        notice = archive.read(f"{info}/licenses/NOTICE")
    assert (metadata["Name"], metadata["Version"]) == ("imavatar-deploy", VERSION)
    assert licence == (ROOT / "LICENSE").read_bytes()
    assert notice == (ROOT / "NOTICE").read_bytes()
    assert metadata["License-Expression"] == "MIT AND Apache-2.0"


def test_changelog_has_a_section_for_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = [line for line in changelog.splitlines() if line.startswith("## ")]
    assert headings[0] == "## [Unreleased]"
    assert headings[1].startswith(f"## [{VERSION}] - 20")


@dataclass(frozen=True)
class Environment:
    """A virtual environment that holds the wheel; its dependencies are this environment's."""

    folder: Path

    def run(self, program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment."""
        scripts = self.folder / ("Scripts" if os.name == "nt" else "bin")
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return run_process([str(scripts / program), *arguments], cwd=cwd, env=environment)


@pytest.fixture(scope="module")
def installed(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("environment"))
    venv.create(environment.folder, symlinks=os.name != "nt")
    pip = [sys.executable, "-m", "pip", "--python", str(environment.folder), "install", "--quiet"]
    result = run_process([*pip, "--no-deps", "--no-index", str(build.wheel)])
    assert result.returncode == 0, result.stderr
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = environment.run("python", "-c", purelib, cwd=environment.folder).stdout.strip()
    dependencies = [path for path in sys.path if Path(path).name.endswith("-packages")]
    # Folders on a path file are searched after the environment's own, and their path files, among
    # them that of an editable install, are not read.
    Path(site, "dependencies.pth").write_text("\n".join(dependencies), encoding="utf-8")
    return environment


@pytest.mark.parametrize("command", sorted(CONFIG["project"]["scripts"]))
def test_installed_commands_have_this_version(installed: Environment, command: str) -> None:
    result = installed.run(command, "--version", cwd=installed.folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{command} (imavatar-deploy) {VERSION}\n"


@pytest.mark.parametrize("in_checkout", [False, True])
def test_installed_library_is_imported(installed: Environment, in_checkout: bool) -> None:
    """In the root of a checkout, Python finds the folder `imavatar_deploy/` first."""
    code = "from imavatar_deploy.runtime import Player; print(Player.__module__)"
    place = ROOT if in_checkout else installed.folder
    result = installed.run("python", "-c", code, cwd=place)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "imavatar_deploy.runtime.player\n"


def test_installed_program_plays_the_bundled_sample(installed: Environment, tmp_path: Path) -> None:
    options = ["--frames", "0:1", "--size", "32", "--sink", "%d.png"]
    result = installed.run("imavatar-run", "sample", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert [path.suffix for path in tmp_path.iterdir()] == [".png"]


def test_assets_stay_small() -> None:
    """25 MB for what existed before the networks of `vision`, and 8 MB for these."""
    assets = ROOT / "imavatar_deploy" / "assets"
    sizes = {path: path.stat().st_size for path in assets.rglob("*") if path.is_file()}
    networks = sum(size for path, size in sizes.items() if assets / "vision" in path.parents)
    assert sum(sizes.values()) - networks < 25e6
    assert 1e6 < networks < 8e6


@pytest.mark.parametrize("command", sorted(CONFIG["project"]["scripts"]))
def test_every_command_teaches(command: str) -> None:
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name=command)
    result = run_python(f"from {entry.module} import {entry.attr}; {entry.attr}()", "--help")
    assert result.returncode == 0, result.stderr
    assert command in result.stdout, "an example to paste"
    assert "Exit codes" in result.stdout
