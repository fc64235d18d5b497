"""The mesh for three.js, drawn by three.js in Chromium together with ordinary objects."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from imavatar_deploy.arrays import Array, UInt8
from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.exporters.formats.web.chromium import Page
from imavatar_deploy.exporters.formats.web.format import write_page
from imavatar_deploy.exporters.formats.web.frames import opened
from imavatar_deploy.fidelity.image_metrics import psnr
from imavatar_deploy.rendering.posing import resting_camera
from imavatar_deploy.student import read_student
from imavatar_deploy.viewer.avatar_file import encode

from ..processes import run_process

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "build_viewer.py"
MODULES = ROOT / "tools" / "viewer" / "node_modules"

pytestmark = [
    pytest.mark.usefixtures("limited_browser"),
    pytest.mark.usefixtures("browser_here"),
    pytest.mark.skipif(
        shutil.which("node") is None or not (MODULES / "three" / "build").is_dir(),
        reason="needs node, and the packages that tools/build_viewer.py installs",
    ),
]

SIZE = 384
NEAR, FAR = 0.1, 100.0  # metres
RED = (255, 0, 0)

PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<script type="importmap">
{"imports": {"three": "./three/three.module.js", "imavatar-head/three": "./avatar-three.js"}}
</script>
<script type="module" src="viewer.js"></script>
<imavatar-head src="avatar.bin"></imavatar-head>
<script type="module">
import * as THREE from "three";
import { loadAvatarMesh } from "imavatar-head/three";

const renderer = new THREE.WebGLRenderer({ alpha: true, preserveDrawingBuffer: true });
const mesh = await loadAvatarMesh("avatar.bin");
const scene = new THREE.Scene();
scene.add(mesh);
const board = new THREE.Mesh(
  new THREE.PlaneGeometry(0.5, 0.06),
  new THREE.MeshBasicMaterial({ color: 0xff0000 }),
);
scene.add(board);
window.draw = ({ expression, pose, projection, size, place }) => {
  renderer.setSize(size, size, false);
  mesh.setFlame(expression, pose);
  board.visible = Boolean(place);
  if (place) board.position.set(...place);
  const camera = new THREE.Camera();
  camera.projectionMatrix.fromArray(projection);
  camera.projectionMatrixInverse.copy(camera.projectionMatrix).invert();
  renderer.render(scene, camera);
  return renderer.domElement.toDataURL("image/png").split(",")[1];
};
window.hits = (origin, direction) => {
  mesh.updateMatrixWorld();
  const ray = new THREE.Raycaster(new THREE.Vector3(...origin), new THREE.Vector3(...direction));
  return ray.intersectObject(mesh).map(({ distance }) => distance);
};
window.isReady = true;
</script>
"""


@pytest.fixture(scope="module")
def camera() -> Camera:
    return resting_camera(open_avatar("sample").avatar)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, camera: Camera) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("three")
    package = folder / "package"
    result = run_process([sys.executable, str(SCRIPT), "--npm", str(package)])
    assert result.returncode == 0, result.stderr
    sample = open_avatar("sample")
    write_page(folder / "site", encode(sample.avatar, read_student(sample), camera).data)
    shutil.copy(package / "three.js", folder / "site" / "avatar-three.js")
    shutil.copytree(MODULES / "three" / "build", folder / "site" / "three")
    (folder / "site" / "index.html").write_text(PAGE, encoding="utf-8")
    with opened(folder / "site") as page:
        page.evaluate(
            """(async () => {
              for (let i = 0; i < 300 && !window.isReady; i++)
                await new Promise((done) => setTimeout(done, 100));
            })()"""
        )
        yield page
        assert page.errors() == []


def projection(camera: Camera) -> list[float]:
    """Projection of three.js, column by column, for metres."""
    image = camera.image_matrix(SIZE, SIZE).astype(np.float64)
    column, row, depth = image * [*[UNITS_PER_METRE] * 3, 1.0]
    clip = np.stack(
        [
            2 * (column + 0.5 * depth) / SIZE - depth,
            depth - 2 * (row + 0.5 * depth) / SIZE,
            (FAR + NEAR) / (FAR - NEAR) * depth,
            depth,
        ]
    )
    clip[2, 3] -= 2 * FAR * NEAR / (FAR - NEAR)
    return [float(value) for value in clip.T.ravel()]


EXPRESSION = [0.0] * 50
EXPRESSION[2] = EXPRESSION[42] = 0.8
POSE = [0.0] * 4 + [0.2] + [0.0] * 10
POSE[6] = 0.2


def drawn(
    page: Page, camera: Camera, place: tuple[float, float, float] | None = None
) -> UInt8[Array, "N N 4"]:
    request = {
        "expression": EXPRESSION,
        "pose": POSE,
        "projection": projection(camera),
        "size": SIZE,
        "place": place,
    }
    content = base64.b64decode(page.evaluate(f"draw({json.dumps(request)})"))
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return np.asarray(image[..., [2, 1, 0, 3]])


def of_the_element(page: Page, camera: Camera) -> UInt8[Array, "N N 4"]:
    matrix = camera.image_matrix(SIZE, SIZE).astype(float).ravel().tolist()
    text = page.evaluate(
        f"""(() => {{
          const bytes = document.querySelector("imavatar-head").pixels(
            {EXPRESSION}, {POSE}, {matrix}, {SIZE}, {SIZE});
          let text = "";
          for (let i = 0; i < bytes.length; i += 8192)
            text += String.fromCharCode(...bytes.subarray(i, i + 8192));
          return btoa(text);
        }})()"""
    )
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(SIZE, SIZE, 4)


def test_three_draws_what_the_element_draws(page: Page, camera: Camera) -> None:
    mesh, element = drawn(page, camera), of_the_element(page, camera)
    inside = (mesh[..., 3] == 255) & (element[..., 3] == 255)
    assert ((mesh[..., 3] > 127) != (element[..., 3] > 127)).mean() < 0.005
    rgb = [image[..., :3] / np.float32(255) for image in (mesh, element)]
    assert psnr(*rgb, inside) > 40


def test_an_ordinary_object_is_hidden_by_the_head_and_hides_it(page: Page, camera: Camera) -> None:
    height = 0.02

    def red(z: float) -> UInt8[Array, "N N"]:
        image = drawn(page, camera, (0.0, height, z))
        return np.asarray((image[..., :3] == RED).all(axis=-1))

    alone = drawn(page, camera)
    before, within, behind = red(0.2), red(0.0), red(-0.3)
    covered = alone[..., 3] == 255
    middle = covered[:, SIZE // 2 - 4 : SIZE // 2 + 4]
    assert (before[:, SIZE // 2 - 4 : SIZE // 2 + 4] & middle).sum() > 50, "it hides the face"
    assert not (behind & covered).any(), "the head hides it"
    assert behind.sum() > 500, "it is seen beside the head"
    assert not within[:, SIZE // 2 - 4 : SIZE // 2 + 4].any(), "the face is in front of it"
    assert within.sum() > 500


def test_rays_meet_the_posed_surface(page: Page) -> None:
    distances = page.evaluate("hits([0, 0, 2], [0, 0, -1])")
    assert distances
    assert 1.5 < min(distances) < 2
    assert page.evaluate("hits([1, 0, 2], [0, 0, -1])") == []
