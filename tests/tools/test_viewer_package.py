"""The npm package of the viewer: packed, installed, and used by Node.js, TypeScript and esbuild."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from ..processes import run_process

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "build_viewer.py"
COMMITTED = ROOT / "imavatar_deploy" / "viewer" / "viewer.js"
MODULES = ROOT / "tools" / "viewer" / "node_modules"

needs_compilers = pytest.mark.skipif(
    shutil.which("npm") is None or not (MODULES / "@types" / "three").exists(),
    reason="needs npm, and the compilers that tools/build_viewer.py installs",
)

CONSUMER = """
import { ImavatarHead, presetsOf, type Model, type Preset } from "imavatar-head";
import { AvatarMesh, loadAvatarMesh } from "imavatar-head/three";
import type { Object3D } from "three";

const head: ImavatarHead | null = document.querySelector("imavatar-head");
head?.setExpression("mouthSmileLeft", 0.8);
export const model: Model | undefined = head?.avatar;
export const presets: readonly Preset[] = presetsOf(["jawOpen"]);
export const picture: Promise<Blob> | undefined = head?.still();
export async function add(scene: Object3D): Promise<AvatarMesh> {
  const mesh = await loadAvatarMesh("avatar.bin");
  scene.add(mesh);
  mesh.setExpression("mouthSmileLeft", 0.8);
  return mesh;
}
"""

MISTAKE = """
import { ImavatarHead } from "imavatar-head";
declare const head: ImavatarHead;
head.setExpression(0.8, "mouthSmileLeft");
"""


def run(*command: str, folder: Path) -> str:
    result = run_process(list(command), cwd=folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("npm") / "package"
    run(sys.executable, str(SCRIPT), "--npm", str(folder), folder=folder.parent)
    return folder


@pytest.fixture(scope="module")
def project(package: Path) -> Path:
    """A project in which the packed file is installed; three.js is that of the compilers."""
    folder = package.parent / "project"
    folder.mkdir()
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    packed = json.loads(run("npm", "pack", "--json", str(package), folder=folder))[0]
    assert {each["path"] for each in packed["files"]} >= {
        "LICENSE",
        "README.md",
        "package.json",
        "viewer.js",
        "three.js",
        "types/main.d.ts",
        "types/three.d.ts",
    }
    assert packed["size"] < 50_000
    quiet = ("--offline", "--no-audit", "--no-fund", "--legacy-peer-deps")
    run("npm", "install", *quiet, packed["filename"], folder=folder)
    modules = folder / "node_modules"
    for name in ("three", "@types"):
        (modules / name).symlink_to(MODULES / name)
    return folder


@needs_compilers
def test_the_package_has_the_committed_viewer_and_the_version_of_the_project(package: Path) -> None:
    assert (package / "viewer.js").read_bytes() == COMMITTED.read_bytes()
    description = json.loads((package / "package.json").read_text(encoding="utf-8"))
    assert f'version = "{description["version"]}"' in (ROOT / "pyproject.toml").read_text()
    for entry in description["exports"].values():
        for path in [entry] if isinstance(entry, str) else entry.values():
            assert (package / path).is_file()
    assert (package / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@needs_compilers
def test_node_imports_it_without_a_document(project: Path) -> None:
    program = """
      import { ImavatarHead, decodeModel, presetsOf } from "imavatar-head";
      import { AvatarMesh, decodeModel as again } from "imavatar-head/three";
      const error = await decodeModel(new Uint8Array(3)).catch((error) => error.message);
      console.log(JSON.stringify([typeof ImavatarHead, typeof AvatarMesh, typeof again,
        presetsOf(["eyeBlinkLeft", "eyeBlinkRight"]).map(({ title }) => title), error]));
    """
    output = run("node", "--input-type=module", "--eval", program, folder=project)
    assert json.loads(output) == [
        *["function"] * 3,
        ["Neutral", "Blink"],
        "This is not an avatar file of imavatar-export --format web.",
    ]


@needs_compilers
@pytest.mark.parametrize("resolution", ["nodenext", "bundler"])
def test_typescript_accepts_a_strict_consumer(project: Path, resolution: str) -> None:
    module = "nodenext" if resolution == "nodenext" else "esnext"
    flags = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom,dom.iterable"]
    flags += ["--module", module, "--moduleResolution", resolution, "--types", ""]
    compiler = str(MODULES / ".bin" / "tsc")
    (project / "consumer.ts").write_text(CONSUMER)
    run(compiler, *flags, "consumer.ts", folder=project)
    (project / "mistake.ts").write_text(MISTAKE)
    result = run_process([compiler, *flags, "mistake.ts"], cwd=project)
    assert "TS2345" in result.stdout, "arguments in the wrong order are refused"


@needs_compilers
def test_esbuild_bundles_a_consumer(project: Path) -> None:
    (project / "consumer.ts").write_text(CONSUMER)
    esbuild = str(MODULES / ".bin" / "esbuild")
    flags = ("--bundle", "--format=esm", "--external:three", "--outfile=bundle.js")
    run(esbuild, "consumer.ts", *flags, folder=project)
    bundle = (project / "bundle.js").read_text(encoding="utf-8")
    assert '"imavatar-head"' in bundle, "the element is defined: its import is not dropped"


@needs_compilers
def test_a_folder_that_exists_is_not_written_into(tmp_path: Path) -> None:
    result = run_process([sys.executable, str(SCRIPT), "--npm", str(tmp_path)])
    assert result.returncode == 1
    assert "exists already; remove it, or give the name of a new folder" in result.stderr
    assert list(tmp_path.iterdir()) == []
