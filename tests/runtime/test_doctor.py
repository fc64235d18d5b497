"""imavatar-doctor: working parts are used, and no library can end the doctor."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.runtime.doctor import command, probes_gpu
from imavatar_deploy.runtime.doctor.command import PROBES
from imavatar_deploy.runtime.doctor.probe import (
    BROKEN,
    MISSING,
    WORKS,
    AbsentError,
    Probe,
    examine,
)

from ..processes import run_python

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXTRAS = tomllib.loads(
    (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
)["project"]["optional-dependencies"]

PARTS = """
import ctypes, os, sys, time
from imavatar_deploy.runtime.doctor.probes_core import import_with_version

def healthy():
    print("a library talks\\nimavatar-doc")
    os.write(2, b"and warns\\n")
    return "used"

def not_installed():
    import_with_version("no_such_module", "no-such-package")

def raises_on_import():
    import_with_version("raises_on_import", "raises-on-import")

def misses_its_own_part():
    import_with_version("misses_its_own_part", "misses-its-own-part")

def misses_a_library():
    ctypes.CDLL("libno-such-library.so.1")

def leaves():
    sys.exit(7)

def aborts():
    os.abort()

def dies():
    os._exit(3)

def hangs():
    time.sleep(60)
"""

SAYS = {
    "healthy": (WORKS, "^used$"),
    "not_installed": (MISSING, "^no-such-package is not installed$"),
    "raises_on_import": (BROKEN, "^RuntimeError: built for another numpy$"),
    "misses_its_own_part": (BROKEN, "No module named 'no_such_part'"),
    "misses_a_library": (BROKEN, "^OSError: .*libno-such-library"),
    "leaves": (BROKEN, "^SystemExit: 7$"),
    "aborts": (BROKEN, "ended by SIGABRT"),
    "dies": (BROKEN, "ended with code 3 and no answer"),
    "hangs": (BROKEN, "did not answer within 3 s"),
}


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of probes that a child process can import."""
    (tmp_path / "some_parts.py").write_text(PARTS, encoding="utf-8")
    (tmp_path / "raises_on_import.py").write_text(
        "raise RuntimeError('built for another numpy')", encoding="utf-8"
    )
    (tmp_path / "misses_its_own_part.py").write_text("import no_such_part", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return importlib.import_module("some_parts")


def test_a_folder_of_that_name_is_not_the_package(
    parts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere" / "no_such_module").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert examine(row(parts.not_installed)).state == MISSING


def row(probe: Callable[[], str], core: bool = False) -> Probe:
    return Probe(probe.__name__, "a test", "the line that mends it", probe, core)


@pytest.mark.parametrize("name", SAYS)
def test_nothing_a_part_does_ends_the_doctor(parts: Any, name: str) -> None:
    result = examine(row(getattr(parts, name)), timeout=3.0 if name == "hangs" else 60.0)
    state, detail = SAYS[name]
    assert result.state == state, result
    assert re.search(detail, result.detail)
    assert result.mend == ("" if state == WORKS else "the line that mends it")


def doctor(monkeypatch: pytest.MonkeyPatch, rows: list[Probe], *arguments: str) -> Result:
    monkeypatch.setattr(command, "PROBES", {probe.name: probe for probe in rows})
    return CliRunner().invoke(command.doctor, list(arguments))


@pytest.mark.parametrize(("core", "code"), [(True, 5), (False, 0)])
def test_only_a_core_part_makes_it_fail(
    parts: Any, monkeypatch: pytest.MonkeyPatch, core: bool, code: int
) -> None:
    result = doctor(
        monkeypatch, [row(parts.healthy, core=True), row(parts.raises_on_import, core=core)]
    )
    assert result.exit_code == code, result.output
    for text in ("healthy", "works", "broken", "raises_on_import: the line that mends it", "took"):
        assert text in result.stdout
    assert result.stderr.count("\n") == bool(code)
    assert (
        "raises_on_import is broken (RuntimeError: built for another numpy)" in result.stderr
    ) == bool(code)


def test_json_is_json_and_nothing_else(parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    result = doctor(
        monkeypatch, [row(parts.healthy), row(parts.not_installed, core=True)], "--json"
    )
    findings = json.loads(result.stdout)
    assert result.exit_code == 5
    assert not findings["works"]
    assert [(part["name"], part["state"]) for part in findings["parts"]] == [
        ("healthy", WORKS),
        ("not_installed", MISSING),
    ]


def test_a_real_part_and_an_unknown_one() -> None:
    result = CliRunner().invoke(command.doctor, ["--part", "python", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["parts"][0]["state"] == WORKS
    result = CliRunner().invoke(command.doctor, ["--part", "pythn"])
    assert result.exit_code == 2
    assert "did you mean 'python'?" in result.stderr


@pytest.mark.parametrize("name", [name for name, probe in PROBES.items() if probe.core])
def test_core_parts_are_used_for_real(name: str) -> None:
    assert len(PROBES[name].probe()) > 10


def test_a_session_that_computes_something_else_is_broken(
    own_avatar_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ..tiny_avatar import write_texture

    write_texture(own_avatar_folder / "texture.onnx", seed=4)
    monkeypatch.setattr("imavatar_deploy.avatar_io.SAMPLE", own_avatar_folder)
    with pytest.raises(ArithmeticError, match="rgb differs by"):
        PROBES["onnxruntime"].probe()


def test_it_starts_where_a_core_part_cannot_even_be_imported(tmp_path: Path) -> None:
    (tmp_path / "numba.py").write_text(
        "raise ImportError('Numba needs NumPy 2.2 or less')", encoding="utf-8"
    )
    code = "from imavatar_deploy.runtime.doctor import imavatar_doctor; imavatar_doctor()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"}
    result = run_python(code, "--part", "kernels", env=environment)
    assert result.returncode == 5, result.stderr
    assert "ImportError: Numba needs NumPy 2.2 or less" in result.stdout
    assert "kernels: pip install --force-reinstall numba" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


class TestWithoutADriver:
    """A library without a driver is not reported as missing; the remedy is the driver's."""

    @pytest.fixture(autouse=True)
    def _no_driver(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def probe() -> None:
            raise MissingDependencyError("no NVIDIA driver is installed here; install it")

        monkeypatch.setattr(probes_gpu, "probe_driver", probe)

    def test_tensorrt_rtx_builds_all_the_same(self) -> None:
        pytest.importorskip("tensorrt_rtx", reason="pip install 'imavatar-deploy[trt-rtx]'")
        assert "builds an engine (texture.onnx of the sample, " in PROBES["tensorrt-rtx"].probe()

    @pytest.mark.parametrize("name", ["nvidia driver", "tensorrt"])
    def test_the_driver_is_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        module = ModuleType("tensorrt")
        module.__version__, module.__spec__ = "11.4.0.106", ModuleSpec("tensorrt", None)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "tensorrt", module)
        with pytest.raises(AbsentError) as caught:
            PROBES[name].probe()
        assert caught.value.mend == probes_gpu.INSTALL_DRIVER


def test_every_row_teaches_a_line_that_exists() -> None:
    for probe in PROBES.values():
        assert probe.mend, probe.name
        for extra in re.findall(r"imavatar-deploy\[([^\]]+)\]", probe.mend):
            assert extra in EXTRAS
