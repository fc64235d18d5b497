"""Every documented install: all commands answer --help, and a missing package names its extra.

An install is simulated in a child process, in which every package that pip would not have brought
is blocked.
"""

from __future__ import annotations

import json
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from imavatar_deploy.head_model import HeadModel

from .commands import PROJECT, ROOT
from .create.test_command import write_clip
from .processes import run_process
from .training.second_heads import shuffled, without_mouth_parts, write_head

DOCUMENTED = re.compile(r"pip install '\.\[([^\]]+)\]'")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXTRAS = PROJECT["optional-dependencies"]
INSTALLS = sorted(
    {
        "",
        *EXTRAS,
        *(
            documented
            for path in DOCUMENTS
            for documented in DOCUMENTED.findall(path.read_text(encoding="utf-8"))
        ),
    }
    - {"dev"}
)
"""Sets of extras, comma-separated: none, each extra, and every set in the documentation."""
TOOLS = {"pip", "setuptools", "_distutils_hack", "pkg_resources", "wheel"}

CHILD = ROOT / "tests" / "install_child.py"


def distributions(extras: str) -> set[str]:
    """Return the names of all distributions that pip installs with these extras, with ours."""
    requirements = list(PROJECT["dependencies"])
    for extra in filter(None, extras.split(",")):
        requirements += EXTRAS[extra]
    names = {"imavatar-deploy"}
    todo = [Requirement(line) for line in requirements]
    done = set()
    while todo:
        requirement = todo.pop()
        if str(requirement) in done or (requirement.marker and not requirement.marker.evaluate()):
            continue
        done.add(str(requirement))
        name = canonicalize_name(requirement.name)
        if name == "imavatar-deploy":
            todo += [Requirement(line) for extra in requirement.extras for line in EXTRAS[extra]]
            continue
        names.add(name)
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # missing in the child, too
            continue
        for line in map(Requirement, lines):
            environments = [{"extra": extra} for extra in requirement.extras or {""}]
            if line.marker is None or any(map(line.marker.evaluate, environments)):
                line.marker = None
                todo.append(line)
    return names


class Installs:
    """Installs by their extras, each tried in one child process: importing torch takes seconds."""

    def __init__(self, folder: Path, paths: dict[str, Path]) -> None:
        self._folder = folder
        self._paths = paths
        self._results: dict[str, list[dict[str, Any]]] = {}

    def call(self, extras: str, line: str) -> dict[str, Any]:
        """Return what a command line of `MISSING` does where only these extras are installed."""
        arguments = self._arguments(line)
        return next(row for row in self._tried(extras) if row["arguments"] == arguments)

    def helps(self, extras: str) -> list[dict[str, Any]]:
        """Return what --help of every command and subcommand does there."""
        return [row for row in self._tried(extras) if row["arguments"][-1] == "--help"]

    def _arguments(self, line: str) -> list[str]:
        return line.format(**self._paths).split()

    def _tried(self, extras: str) -> list[dict[str, Any]]:
        if extras not in self._results:
            lines = [
                self._arguments(line)
                for installed, missing, line in MISSING.values()
                if extras in (installed, with_extra(installed, missing))
            ]
            self._results[extras] = self._run(extras, lines)
        return self._results[extras]

    def _run(self, extras: str, lines: list[list[str]]) -> list[dict[str, Any]]:
        installed = distributions(extras)
        blocked = {
            top
            for top, names in metadata.packages_distributions().items()
            if not installed & {canonicalize_name(name) for name in names}
        }
        request = {
            "blocked": sorted(blocked - TOOLS),
            "calls": lines,
            "helps": extras in INSTALLS,
            "folder": str(self._folder / (extras or "none")),
        }
        command = [sys.executable, str(CHILD), json.dumps(request)]
        result = run_process(command, cwd=self._folder, limit=480)
        assert result.returncode == 0, result.stderr
        results: list[dict[str, Any]] = json.loads(result.stdout.splitlines()[-1])
        return results


def with_extra(installed: str, extra: str) -> str:
    """The set of extras after one more is installed."""
    return ",".join(filter(None, (installed, extra)))


def test_the_closure_of_an_install() -> None:
    assert {"numpy", "numba", "llvmlite"} <= distributions("")
    assert not {"torch", "scipy", "onnxruntime", "pytest"} & distributions("")
    assert {"torch", "onnx", "pygltflib"} <= distributions("gltf")
    assert "cpu,trackers" in INSTALLS


@pytest.mark.parametrize("extras", INSTALLS, ids=lambda extras: f"[{extras}]")
def test_every_command_answers_help(extras: str, installs: Installs) -> None:
    results = installs.helps(extras)
    typed = {" ".join(result["arguments"]) for result in results}
    assert {f"{name} --help" for name in PROJECT["scripts"]} < typed
    assert {"imavatar-data synth --help", "imavatar-eval experiment --help"} < typed
    for result in results:
        assert (result["code"], result["stderr"]) == (0, ""), (
            result["arguments"],
            result["stderr"],
        )
        assert result["stdout"].startswith("Usage: "), result


MISSING = {
    "train": ("", "train", "imavatar-train data --out out"),
    "train, exporting installed": ("cpu,export", "train", "imavatar-train data --out out"),
    "eval": ("cpu", "train", "imavatar-eval sample --data data --out out"),
    "experiment": ("cpu,export", "train", "imavatar-eval experiment table9 --out out"),
    "synth": ("cpu,trackers", "train", "imavatar-data synth --subject male1 --out out --size 1"),
    "fit-map": (
        "cpu,trackers",
        "train",
        "imavatar-data fit-map --from openhead --to {head} --edition flame2020 --out map.npz",
    ),
    "export": ("cpu", "export", "imavatar-export nowhere --out out"),
    "create": ("cpu,export", "train", "imavatar-create {clip} --out out --i-may-use-this-face"),
    "create, exporting": (
        "cpu,train",
        "export",
        "imavatar-create {clip} --out out --i-may-use-this-face",
    ),
    "sign": (
        "cpu",
        "c2pa",
        "imavatar-run sample --sink out.mp4 --c2pa-sign {clip} {clip}",
    ),
    "list": ("cpu", "export", "imavatar-export --list"),
    "glb": ("cpu,export", "gltf", "imavatar-export nowhere --format glb --out out"),
    "usd": ("cpu", "scene", "imavatar-bake sample --format usd --track nowhere --out out"),
    "osc": (
        "cpu",
        "trackers",
        "imavatar-run sample --source osc://:0 --sink null --size 16 --duration 10ms",
    ),
}
"""(installed extras, missing extra, command line that needs it)."""


@pytest.fixture(scope="module")
def installs(tmp_path_factory: pytest.TempPathFactory) -> Installs:
    folder = tmp_path_factory.mktemp("installs")
    # A head-model file with another topology than OpenHead's.
    head = shuffled(without_mouth_parts(HeadModel.load("openhead")))
    paths = {
        "head": write_head(folder / "other.npz", head),
        "clip": write_clip(folder / "me.mp4", frames=500),
    }
    return Installs(folder, paths)


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_package_is_a_sentence_with_the_extra_that_mends_it(
    name: str, installs: Installs
) -> None:
    installed, extra, line = MISSING[name]
    result = installs.call(installed, line)
    assert result["code"] == 5, result["stderr"]
    assert len(result["stderr"].strip().splitlines()) == 1
    assert f"pip install 'imavatar-deploy[{extra}]'" in result["stderr"]
    assert result["written"] == []
    mended = installs.call(with_extra(installed, extra), line)
    assert mended["code"] not in (5, None), mended["stderr"]
