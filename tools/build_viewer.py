"""Build the viewer of the web format: check the types of its TypeScript and bundle it.

    python tools/build_viewer.py [--out FILE]
    python tools/build_viewer.py --npm FOLDER

With `--npm` it writes a package for npm into a new folder instead: the viewer, an entry for
three.js, declarations of types, and the files of `tools/viewer/npm/`. `npm pack` packs it.

It needs node and npm, which installs the compilers in the versions of `tools/viewer/package.json`.
The result depends on these versions and the source alone, and is committed:
`imavatar_deploy/viewer/viewer.js` and `camera.js`.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "tools" / "viewer"
VIEWER = ROOT / "imavatar_deploy" / "viewer"
PROGRAMS = TOOLS / "node_modules" / ".bin"
INSTALLED = (".bin/esbuild", ".bin/tsc", "@types/three")
"""What the compilation needs, below `node_modules`."""

RELATIVE_IMPORT = re.compile(r"""((?:from|import\()\s*)(["']\./[^"']+)(["'])""")
"""An import of another declaration of the package."""

CAMERA = "camera.js"
"""The module that the viewer loads when the camera is used."""

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
    """Build the viewer into a file, and the module of the camera beside it.

    Raises:
        RuntimeError: node or npm is missing, or a step fails.
    """
    _check_types()
    _bundle("main.ts", out)
    _bundle("web_camera.ts", out.with_name(CAMERA))


def build_package(folder: Path) -> None:
    """Write the npm package into a new folder.

    Raises:
        RuntimeError: the folder exists, node or npm is missing, or a step fails.
    """
    if folder.exists():
        raise RuntimeError(f"{folder} exists already; remove it, or give the name of a new folder")
    _check_types()
    _bundle("main.ts", folder / "viewer.js")
    _bundle("three.ts", folder / "three.js", "--external:three")
    types = folder / "types"
    emit = ("--noEmit", "false", "--declaration", "--emitDeclarationOnly")
    source = ("--rootDir", str(VIEWER / "source"), "--outDir", str(types))
    _run(str(PROGRAMS / "tsc"), "--project", str(TOOLS), *emit, *source)
    for file in types.iterdir():
        # Node.js resolves an import of a file by its full name only.
        text = file.read_text(encoding="utf-8")
        file.write_text(RELATIVE_IMPORT.sub(r"\1\2.js\3", text), encoding="utf-8")
    for file in (TOOLS / "npm" / "README.md", ROOT / "LICENSE"):
        shutil.copy(file, folder)
    package = json.loads((TOOLS / "npm" / "package.json").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    assert version is not None
    package["version"] = version[1]
    text = json.dumps(package, indent=2) + "\n"
    (folder / "package.json").write_text(text, encoding="utf-8")


def _check_types() -> None:
    _install_compilers()
    _run(str(PROGRAMS / "tsc"), "--project", str(TOOLS))


def _install_compilers() -> None:
    if not (shutil.which("node") and shutil.which("npm")):
        raise RuntimeError("the viewer is built by node and npm; install Node.js 20 or newer")
    if not all((TOOLS / "node_modules" / each).exists() for each in INSTALLED):
        _run("npm", "ci", "--silent", "--no-audit", "--no-fund", "--prefix", str(TOOLS))


def _bundle(source: str, out: Path, *flags: str) -> None:
    """Bundle a file of the source and what it imports into one module."""
    path = str(VIEWER / "source" / source)
    _run(str(PROGRAMS / "esbuild"), path, *BUNDLE, *flags, f"--outfile={out}")


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
    """Build the viewer, or the npm package, and print its size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=VIEWER / "viewer.js")
    parser.add_argument("--npm", type=Path, metavar="FOLDER", help="write the npm package there")
    arguments = parser.parse_args()
    out = arguments.out
    try:
        if arguments.npm is not None:
            build_package(arguments.npm.resolve())
            print(f"{arguments.npm}: to make a package of it, npm pack {arguments.npm}")
            return
        build(out.resolve())
    except RuntimeError as error:
        sys.exit(str(error))
    for file in (out, out.with_name(CAMERA)):
        print(f"{file}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
