"""The deformed surface of the web viewer, in Chromium, against the Python runtime."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.conventions import POSE_SIZE, UNITS_PER_METRE
from imavatar_deploy.exporters.fidelity.reference_poses import reference_poses
from imavatar_deploy.exporters.formats.web import chromium as driver
from imavatar_deploy.exporters.formats.web.chromium import BrowserError, Page
from imavatar_deploy.exporters.formats.web.format import BINARY, write_page
from imavatar_deploy.exporters.formats.web.frames import opened
from imavatar_deploy.rendering.posing import (
    pose_plainly,
    resting_camera,
    surface_normals,
    vertex_normals,
)
from imavatar_deploy.student import read_student
from imavatar_deploy.viewer.avatar_file import decode, encode

from ..students import random_student
from ..tiny_avatar import tiny_avatar
from ..web_scripts import HEAD, NEXT_FRAME, lose_and_restore_context

pytestmark = pytest.mark.usefixtures("browser_here")


MICROMETRE = UNITS_PER_METRE / 1e6
LARGEST_DISTANCE = 3 * MICROMETRE
"""The bases are rounded to 1/32767 of the largest value of each shape: all 86 together move no
vertex of the bundled avatar by more."""
LARGEST_ANGLE, MEAN_ANGLE = 1.0, 0.005
"""Degrees between normals. The largest are at the slivers of folded lids and lips."""

ENCODE = """
(values) => {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192)
    text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}
"""

WAVES = """
(async (side) => {
  const count = side * side;
  const rest = new Float32Array(3 * count);
  const faces = [];
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const i = row * side + column;
      rest.set([column / 64, row / 64, Math.sin(column / 5) * Math.cos(row / 7) / 16], 3 * i);
      if (row + 1 < side && column + 1 < side)
        faces.push(i, i + 1, i + side, i + 1, i + side + 1, i + side);
    }
  }
  const zeros = (size) => new Float32Array(size);
  const {avatar, renderer} = document.querySelector("imavatar-head");
  const width = avatar.student.width;
  const model = {
    ...avatar, vertexCount: count, boneCount: 5, faces: Uint32Array.from(faces), rest,
    expressionNames: [], basis: zeros(3 * count), jointBasis: zeros(0),
    normalDetail: zeros(3 * count), skinWeights: zeros(5 * count).fill(0.2),
    student: {...avatar.student, features: zeros(width * count)},
  };
  const other = new renderer.constructor(document.createElement("canvas"), model);
  other.pose([], new Float32Array(15));
  const {normals} = other.geometry();
  return ENCODE(normals);
})
""".replace("ENCODE", f"({ENCODE})")
"""Normals of a wavy grid, whose corners fill more than one layer of their texture."""


@pytest.fixture(autouse=True)
def _limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser that hangs is reported after a minute."""
    monkeypatch.setattr(driver, "LIMIT", 60.0)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the bundled avatar."""
    sample = open_avatar("sample")
    folder = tmp_path_factory.mktemp("web") / "site"
    camera = resting_camera(sample.avatar)
    write_page(folder, encode(sample.avatar, read_student(sample), camera).data)
    return folder


@pytest.fixture(scope="module")
def page(site: Path, browser_here: None) -> Iterator[Page]:
    with opened(site) as page:
        yield page
        assert page.errors() == []


def stored(site: Path) -> Avatar:
    """The avatar as the page receives it: rounded, its vertices in the order of the file."""
    return decode((site / BINARY).read_bytes()).avatar


def floats(text: str) -> Float32[Array, "V 3"]:
    return np.frombuffer(base64.b64decode(text), np.float32).reshape(-1, 3)


def geometry(
    page: Page, expression: Any, pose: Any
) -> tuple[Float32[Array, "V 3"], Float32[Array, "V 3"]]:
    values = ", ".join(json.dumps(np.asarray(each).tolist()) for each in (expression, pose))
    answer = page.evaluate(
        f"(({{positions, normals}}) => [positions, normals].map({ENCODE}))"
        f"({HEAD}.geometry({values}))"
    )
    return floats(answer[0]), floats(answer[1])


def angles(a: Float32[Array, "V 3"], b: Float32[Array, "V 3"]) -> np.ndarray[Any, Any]:
    """Degrees between unit vectors; exact for small ones."""
    wide, broad = a.astype(np.float64), b.astype(np.float64)
    cross = np.linalg.norm(np.cross(wide, broad), axis=1)
    return np.degrees(np.arctan2(cross, (wide * broad).sum(axis=1)))


def compare(page: Page, avatar: Avatar, expression: Any, pose: Any) -> None:
    positions, normals = geometry(page, expression, pose)
    posed = pose_plainly(avatar, expression, pose)
    assert np.linalg.norm(positions - posed.vertices, axis=1).max() < LARGEST_DISTANCE
    apart = angles(normals, surface_normals(avatar, posed))
    assert apart.max() < LARGEST_ANGLE
    assert apart.mean() < MEAN_ANGLE
    assert np.abs(np.linalg.norm(normals, axis=1) - 1).max() < 1e-6


def test_reference_poses_and_all_expressions(page: Page, site: Path) -> None:
    avatar = stored(site)
    poses = reference_poses("openhead")
    assert len(poses.pose) >= 8
    for expression, pose in zip(poses.expression, poses.pose, strict=True):
        compare(page, avatar, expression, pose)
    everything = np.linspace(0.1, 1, avatar.expression_size, dtype=np.float32)
    every_joint = np.linspace(-0.3, 0.4, POSE_SIZE, dtype=np.float32)
    compare(page, avatar, everything, every_joint)


def test_every_expression_alone(page: Page, site: Path) -> None:
    avatar = stored(site)
    still = np.zeros(POSE_SIZE, dtype=np.float32)
    for expression in np.eye(avatar.expression_size, dtype=np.float32):
        compare(page, avatar, expression, still)


@pytest.mark.parametrize(("rings", "sectors", "bones"), [(12, 16, 5), (12, 16, 6), (157, 160, 6)])
def test_other_skeletons_and_fifty_thousand_faces(
    tmp_path: Path, rings: int, sectors: int, bones: int
) -> None:
    avatar = tiny_avatar(rings, sectors, bones)
    assert rings < 100 or len(avatar.faces) >= 49_000
    student = random_student(avatar.vertex_count, 16)
    site = tmp_path / "site"
    write_page(site, encode(avatar, student, resting_camera(avatar)).data)
    avatar = stored(site)
    expression = np.linspace(-1, 1, avatar.expression_size, dtype=np.float32)
    pose = np.linspace(-0.3, 0.4, POSE_SIZE, dtype=np.float32)
    posed = pose_plainly(avatar, expression, pose)
    with opened(site) as page:
        positions, normals = geometry(page, expression, pose)
        assert page.errors() == []
    assert np.linalg.norm(positions - posed.vertices, axis=1).max() < LARGEST_DISTANCE
    apart = angles(normals, surface_normals(avatar, posed))
    assert np.percentile(apart, 99) < LARGEST_ANGLE


def test_a_mesh_of_more_than_a_million_corners(page: Page) -> None:
    side = 430
    normals = floats(page.evaluate(f"({WAVES})({side})"))
    row, column = (each.ravel() for each in np.mgrid[:side, :side])
    heights = np.sin(column / 5) * np.cos(row / 7) / 16
    points = np.stack([column / 64, row / 64, heights], axis=1).astype(np.float32)
    first = np.arange(side * side, dtype=np.int32).reshape(side, side)[:-1, :-1].reshape(-1, 1)
    faces = np.add(first, [0, 1, side, 1, side + 1, side], dtype=np.int32).reshape(-1, 3)
    assert faces.size > 1 << 20
    assert angles(normals, vertex_normals(points, faces)).max() < 0.01


def test_the_surface_survives_a_lost_context(page: Page) -> None:
    expression = np.full(50, 0.3, dtype=np.float32)
    pose = np.full(POSE_SIZE, 0.1, dtype=np.float32)
    before = geometry(page, expression, pose)
    lose_and_restore_context(page)
    for earlier, later in zip(before, geometry(page, expression, pose), strict=True):
        assert np.array_equal(earlier, later)


def test_the_surface_of_another_pose_is_not_shown(page: Page) -> None:
    """`geometry` deforms aside: the next frame is the same as before."""
    page.evaluate(f"{HEAD}.setExpression('jawForward', 1), {NEXT_FRAME}")
    views = []
    for _ in range(2):
        page.evaluate(NEXT_FRAME)
        views.append(page.send("Page.captureScreenshot", format="png")["data"])
        geometry(page, np.full(50, 0.5), np.zeros(POSE_SIZE))
        page.evaluate(f"{HEAD}.turn(0, 0)")
    page.evaluate(f"{HEAD}.reset()")
    assert views[0] == views[1]


@pytest.mark.parametrize(("expressions", "numbers"), [(49, 15), (50, 14)])
def test_a_face_of_other_sizes_is_refused(page: Page, expressions: int, numbers: int) -> None:
    with pytest.raises(BrowserError, match=f"got {expressions} and {numbers}"):
        geometry(page, np.zeros(expressions), np.zeros(numbers))
