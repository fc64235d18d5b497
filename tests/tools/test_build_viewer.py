"""The committed viewer of the web format is what its source gives."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from ..processes import run_process

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "build_viewer.py"
COMMITTED = ROOT / "imavatar_deploy" / "viewer" / "viewer.js"
COMPILERS = ROOT / "tools" / "viewer" / "node_modules"


def test_the_committed_viewer_is_what_the_source_gives(tmp_path: Path) -> None:
    if shutil.which("node") is None or not (COMPILERS / ".bin" / "esbuild").exists():
        pytest.skip("needs node, and the compilers that tools/build_viewer.py installs")
    out = tmp_path / "viewer.js"
    result = run_process([sys.executable, str(SCRIPT), "--out", str(out)])
    assert result.returncode == 0, result.stderr
    for name in ("viewer.js", "camera.js"):
        built = out.with_name(name).read_text(encoding="utf-8")
        assert built == COMMITTED.with_name(name).read_text(encoding="utf-8"), (
            "run python tools/build_viewer.py and commit the result"
        )


def test_without_node_the_tool_says_what_to_install(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--out", str(tmp_path / "viewer.js")]
    result = run_process(command, env={"PATH": str(tmp_path)})
    assert result.returncode == 1
    assert result.stderr.strip().endswith("install Node.js 20 or newer")
    assert list(tmp_path.iterdir()) == []
