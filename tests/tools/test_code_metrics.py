"""The metrics of the source tree: no import circles; the search finds one that is there."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "code_metrics.py"
SPEC = importlib.util.spec_from_file_location("code_metrics", SCRIPT)
assert SPEC is not None
assert SPEC.loader is not None
code_metrics = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(code_metrics)


def test_no_modules_import_each_other() -> None:
    files = code_metrics.sources()
    assert len(files) > 300
    assert code_metrics.circles(files) == []


def test_a_circle_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "imavatar_deploy"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from .b import B\n")
    (package / "b.py").write_text("def later():\n    from .c import C\n")
    (package / "c.py").write_text("import imavatar_deploy.a\n")
    (package / "d.py").write_text("from . import a\n")
    monkeypatch.setattr(code_metrics, "ROOT", tmp_path)
    names = [f"imavatar_deploy.{name}" for name in "abc"]
    assert code_metrics.circles(code_metrics.sources()) == [names]
