"""The examples for the web: checked in strict mode, bundled, and opened in Chromium."""

from __future__ import annotations

import base64
import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from imavatar_deploy.arrays import Array, UInt8
from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.exporters.formats.web import chromium as driver
from imavatar_deploy.exporters.formats.web.chromium import Page, chromium
from imavatar_deploy.exporters.formats.web.format import write_page
from imavatar_deploy.exporters.formats.web.frames import READY, served
from imavatar_deploy.rendering.posing import resting_camera
from imavatar_deploy.student import read_student
from imavatar_deploy.viewer.avatar_file import encode

from ..processes import run_process

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "web"
SCRIPT = ROOT / "tools" / "build_viewer.py"
COMPILERS = ROOT / "tools" / "viewer" / "node_modules"
PROGRAMS = Path(os.environ.get("IMAVATAR_NODE_MODULES", ROOT / "tools" / "node_modules"))
"""npm's packages of `make consumers`, React among them."""

STRICT = (
    *("--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom,dom.iterable"),
    *("--module", "esnext", "--moduleResolution", "bundler", "--jsx", "react-jsx", "--types", ""),
)

pytestmark = [
    pytest.mark.usefixtures("limited_browser"),
    pytest.mark.usefixtures("browser_here"),
    pytest.mark.skipif(
        shutil.which("node") is None or not (COMPILERS / "three" / "build").is_dir(),
        reason="needs node, and the packages that tools/build_viewer.py installs",
    ),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("npm") / "package"
    result = run_process([sys.executable, str(SCRIPT), "--npm", str(folder)])
    assert result.returncode == 0, result.stderr
    return folder


def write_site(folder: Path, name: str) -> None:
    """Write the page of the bundled avatar, and put an example's in its place."""
    sample = open_avatar("sample")
    camera = resting_camera(sample.avatar)
    write_page(folder, encode(sample.avatar, read_student(sample), camera).data)
    shutil.copytree(EXAMPLES / name, folder, dirs_exist_ok=True)


def bundle(site: Path, source: str, package: Path, modules: dict[str, Path]) -> None:
    """Check the types of an example's source in the site and bundle it into `main.js`."""
    folder = site / "node_modules"
    (folder / "@types").mkdir(parents=True)
    shutil.copytree(package, folder / "imavatar-head")
    for name, path in modules.items():
        (folder / name).symlink_to(path)
    for command in (
        [str(COMPILERS / ".bin" / "tsc"), *STRICT, source],
        [
            *(str(COMPILERS / ".bin" / "esbuild"), source, "--bundle", "--format=esm"),
            *("--target=es2022", "--jsx=automatic", "--outfile=main.js"),
            '--define:process.env.NODE_ENV="production"',
        ],
    ):
        result = run_process(command, cwd=site)
        assert result.returncode == 0, result.stdout + result.stderr


def wait_for(page: Page, condition: str) -> None:
    page.evaluate(
        f"""(async () => {{
          for (let i = 0; i < 300 && !({condition}); i++)
            await new Promise((done) => setTimeout(done, 100));
          if (!({condition})) throw new Error("still not so after 30 s");
        }})()"""
    )


def screenshot(page: Page) -> UInt8[Array, "H W 3"]:
    content = base64.b64decode(page.send("Page.captureScreenshot", format="png")["data"])
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image[..., ::-1])


SMILE = (
    "document.querySelector('imavatar-head').flame.expression[document.querySelector("
    "'imavatar-head').avatar.expressionNames.indexOf('mouthSmileLeft')]"
)


def test_plain_html(tmp_path: Path) -> None:
    write_site(tmp_path / "site", "plain")
    with served(tmp_path / "site") as address, chromium(str(driver.find_chromium())) as browser:
        page = browser.page()
        page.open(f"{address}index.html")
        wait_for(page, "document.querySelector('imavatar-head')?.avatar")
        page.evaluate("document.querySelector('button').click()")
        assert page.evaluate(SMILE) == pytest.approx(0.8)
        assert page.errors() == []


def test_three(tmp_path: Path, package: Path) -> None:
    write_site(tmp_path / "site", "three")
    modules = {name: COMPILERS / name for name in ("three", "@types/three")}
    bundle(tmp_path / "site", "main.ts", package, modules)
    with served(tmp_path / "site") as address, chromium(str(driver.find_chromium())) as browser:
        page = browser.page()
        page.open(f"{address}index.html")
        wait_for(page, "Number(document.body?.dataset.frames) > 3")
        image = screenshot(page).astype(int)
        assert page.errors() == []
    red, green, blue = np.moveaxis(image, -1, 0)
    ring = (blue > red + 60) & (blue > green + 30)
    skin = (red > blue + 40) & (red > green + 15)
    assert min(ring.sum(), skin.sum()) > 500
    columns = np.flatnonzero(ring.any(axis=0))
    middle = (columns[0] + columns[-1]) // 2
    rows = np.flatnonzero(ring[:, middle])
    parts = 1 + (np.diff(rows) > 1).sum()
    assert parts == 1, "in the middle the head hides the ring's far side"


def test_react(tmp_path: Path, package: Path) -> None:
    names = ("react", "react-dom", "@types/react", "@types/react-dom")
    if not all((PROGRAMS / name).is_dir() for name in names):
        pytest.skip("React is not there: make consumers installs it")
    write_site(tmp_path / "site", "react")
    bundle(tmp_path / "site", "main.tsx", package, {name: PROGRAMS / name for name in names})
    with served(tmp_path / "site") as address, chromium(str(driver.find_chromium())) as browser:
        page = browser.page()
        page.open(f"{address}index.html")
        wait_for(page, "document.querySelector('imavatar-head')")
        page.evaluate(READY)
        page.evaluate(
            """(() => {
              const input = document.querySelector("input");
              const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
              set.call(input, "0.7");
              input.dispatchEvent(new Event("input", {bubbles: true}));
            })()"""
        )
        wait_for(page, f"Math.abs({SMILE} - 0.7) < 1e-6")
        assert page.errors() == []
    (tmp_path / "site" / "avatar.bin").write_bytes(b"no avatar")
    with served(tmp_path / "site") as address, chromium(str(driver.find_chromium())) as browser:
        page = browser.page()
        page.open(f"{address}index.html")
        wait_for(page, "document.querySelector('p[role=alert]')?.textContent")
        text = page.evaluate("document.querySelector('p[role=alert]').textContent")
    assert text == "This is not an avatar file of imavatar-export --format web."
