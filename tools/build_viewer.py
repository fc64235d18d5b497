"""Build the viewer of the web format: check the types of its TypeScript and bundle it.

    python tools/build_viewer.py [--out FILE]

It needs node and npm, which installs the compilers in the versions of `tools/viewer/package.json`.
The result depends on these versions and the source alone, and is committed:
`imavatar_deploy/viewer/viewer.js`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "tools" / "viewer"
VIEWER = ROOT / "imavatar_deploy" / "viewer"
LIMIT = 300
"""Seconds for one step."""

BUNDLE = (
    "--bundle",
    "--minify",
    "--format=esm",
    "--target=es2022",
    "--charset=utf8",
    "--legal-comments=none",
    "--log-level=warning",
    "--banner:js=/* The viewer of imavatar-deploy (MIT), built by tools/build_viewer.py. */",
)


def build(out: Path) -> None:
    """Build the viewer into a file.

    Raises:
        RuntimeError: node or npm is missing, or a step fails.
    """
    if not (shutil.which("node") and shutil.which("npm")):
        raise RuntimeError("the viewer is built by node and npm; install Node.js 20 or newer")
    if not (TOOLS / "node_modules" / ".bin" / "esbuild").exists():
        _run("npm", "ci", "--silent", "--no-audit", "--no-fund", "--prefix", str(TOOLS))
    programs = TOOLS / "node_modules" / ".bin"
    _run(str(programs / "tsc"), "--project", str(TOOLS))
    source = VIEWER / "source" / "main.ts"
    _run(str(programs / "esbuild"), str(source), *BUNDLE, f"--outfile={out}")


def _run(*command: str) -> None:
    try:
        result = subprocess.run(
            command, cwd=TOOLS, capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{command[0]} has not ended after {LIMIT} s") from error
    if result.returncode:
        raise RuntimeError(f"{' '.join(command[:2])} failed:\n{result.stdout}{result.stderr}")


def main() -> None:
    """Build the viewer and print its size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=VIEWER / "viewer.js")
    out = parser.parse_args().out
    try:
        build(out.resolve())
    except RuntimeError as error:
        sys.exit(str(error))
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
