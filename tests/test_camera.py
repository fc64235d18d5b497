"""Camera: the official renderer's pixels, OpenCV's projection, both forms of intrinsics, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from imavatar_deploy.camera import Camera, picture_aspect, with_square_pixels
from imavatar_deploy.errors import InputError

RENDERS = (
    ("strong", "f_render_strong_001_64"),
    ("talk", "f_render_talk_021_64"),
    ("talk", "f_render_talk_099_64"),
)
WORLD_MAT = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -4.0]]
INTRINSICS = [-3.0, 2.95, 0.51, 0.495]
angles = st.floats(-3.0, 3.0)
lengths = st.floats(-1.0, 1.0)


def project(
    camera: Camera, points: NDArray[Any], width: int, height: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return columns and rows `[N, 2]` and depths `[N]` by the camera's image matrix."""
    matrix = camera.image_matrix(width, height)
    mapped = points @ matrix[:, :3].T + matrix[:, 3]
    return mapped[:, :2] / mapped[:, 2:], mapped[:, 2]


def golden_render(reference: Path, sequence: str, name: str) -> tuple[Camera, Any]:
    golden = np.load(reference / "golden" / f"{name}.npz")
    document = json.loads((reference / sequence / "flame_params.json").read_text(encoding="utf-8"))
    frame = document["frames"][int(golden["frame_index"])]
    return Camera.from_dataset(frame["world_mat"], document["intrinsics"]), golden


@pytest.mark.parametrize(("sequence", "name"), RENDERS)
def test_a_point_on_a_pixels_ray_projects_to_that_pixel(
    reference: Path, sequence: str, name: str
) -> None:
    camera, golden = golden_render(reference, sequence, name)
    lens = golden["intrinsics"]
    pose = golden["cam_pose"]
    uv = golden["uv"]
    # The published generator: z = -1, x = -(u - cx) / fx, y = -(v - cy) / fy, with its negative fx.
    rays = -np.column_stack(
        [
            (uv[:, 0] - lens[0, 2]) / lens[0, 0],
            (uv[:, 1] - lens[1, 2]) / lens[1, 1],
            np.ones(len(uv)),
        ]
    )
    depths = np.random.default_rng(0).uniform(2.0, 6.0, len(uv))
    points = pose[:3, 3] + depths[:, None] * (rays @ pose[:3, :3].T)
    pixels, w = project(camera, points, int(golden["img_res"]), int(golden["img_res"]))
    np.testing.assert_allclose(pixels, uv, atol=1e-4)
    np.testing.assert_allclose(w, depths, rtol=1e-6)
    np.testing.assert_allclose(camera.centre, pose[:3, 3], atol=1e-7)


@pytest.mark.parametrize(("sequence", "name"), RENDERS)
def test_the_official_hit_points_project_to_their_pixels(
    reference: Path, sequence: str, name: str
) -> None:
    camera, golden = golden_render(reference, sequence, name)
    hit = golden["network_object_mask"]
    assert hit.sum() > 1000
    pixels, _ = project(
        camera, golden["points"][hit], int(golden["img_res"]), int(golden["img_res"])
    )
    np.testing.assert_allclose(pixels, golden["uv"][hit], atol=1e-3)


@settings(max_examples=50, deadline=None)
@given(
    turn=st.tuples(angles, angles, angles),
    move=st.tuples(lengths, lengths, lengths),
    lens=st.tuples(*[st.floats(0.5, 5.0)] * 2, *[st.floats(0.2, 0.8)] * 2),
    size=st.tuples(st.integers(16, 1024), st.integers(16, 1024)),
)
def test_opencv_projects_alike(turn: Any, move: Any, lens: Any, size: Any) -> None:
    """OpenCV's camera looks along +Z with +Y down: rows 1 and 2 of the view negated."""
    rotation = Rotation.from_rotvec(turn).as_matrix()
    translation = np.array(move) - [0.0, 0.0, 6.0]
    points = np.random.default_rng(1).uniform(-1, 1, (20, 3)) @ rotation
    camera = Camera(
        np.column_stack([rotation, translation]).astype(np.float32), np.array(lens, np.float32)
    )
    (width, height) = size
    flip = np.diag([1.0, -1.0, -1.0])
    matrix = np.array(
        [[lens[0] * width, 0, lens[2] * width], [0, lens[1] * height, lens[3] * height], [0, 0, 1]]
    )
    expected, _ = cv2.projectPoints(
        points, cv2.Rodrigues(flip @ rotation)[0], flip @ translation, matrix, None
    )
    pixels, w = project(camera, points, width, height)
    np.testing.assert_allclose(pixels, expected[:, 0], atol=1e-5 * max(size) * max(lens))
    assert (w > 0).all()


def test_the_image_is_not_mirrored_and_rows_run_down() -> None:
    camera = Camera.from_dataset(WORLD_MAT, INTRINSICS)
    pixels, _ = project(
        camera,
        np.array([[0.3, 0.0, 0.0], [-0.3, 0.0, 0.0], [0.0, 0.3, 0.0], [0.0, -0.3, 0.0]]),
        64,
        64,
    )
    assert pixels[0, 0] > pixels[1, 0]
    assert pixels[2, 1] < pixels[3, 1]


def test_depth_is_negative_behind_the_camera() -> None:
    _, w = project(
        Camera.from_dataset(WORLD_MAT, INTRINSICS),
        np.array([[0.0, 0.0, 5.0], [0.0, 0.0, 3.0]]),
        64,
        64,
    )
    np.testing.assert_allclose(w, [-1.0, 1.0])


def test_both_spellings_give_one_camera() -> None:
    modern = Camera.from_dataset(WORLD_MAT, INTRINSICS)
    legacy = Camera.from_dataset([*WORLD_MAT, [0, 0, 0, 1]], [512 * value for value in INTRINSICS])
    np.testing.assert_allclose(legacy.intrinsics, modern.intrinsics, rtol=1e-6)
    np.testing.assert_array_equal(legacy.world_to_camera, modern.world_to_camera)
    assert modern.intrinsics[0] == 3.0


@settings(max_examples=50, deadline=None)
@given(
    centre=st.tuples(lengths, lengths, lengths),
    distance=st.floats(2.0, 8.0),
    extent=st.floats(0.5, 4.0),
    yaw=angles,
)
def test_looking_at_puts_the_centre_in_the_middle(
    centre: Any, distance: float, extent: float, yaw: float
) -> None:
    camera = Camera.looking_at(np.array(centre), distance=distance, extent=extent, yaw=yaw)
    side = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
    ends = np.array(centre) + np.array([-0.5, 0.0, 0.5])[:, None] * extent * side
    pixels, w = project(camera, ends, 100, 100)
    np.testing.assert_allclose(pixels, [[0, 50], [50, 50], [100, 50]], atol=1e-3)
    np.testing.assert_allclose(w, distance, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(camera.centre - centre), distance, rtol=1e-5)


def test_a_positive_yaw_walks_the_camera_to_the_heads_left() -> None:
    np.testing.assert_allclose(
        Camera.looking_at(np.zeros(3), yaw=np.pi / 2).centre, [4.0, 0.0, 0.0], atol=1e-6
    )


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "focal length zero": (WORLD_MAT, [0.0, 2.0, 0.5, 0.5], "focal lengths must be positive"),
    "fy negative": (WORLD_MAT, [-2.0, -2.0, 0.5, 0.5], "focal lengths must be positive"),
    "three intrinsics": (
        WORLD_MAT,
        [-2.0, 0.5, 0.5],
        r"intrinsics must have shape \[4\], got \[3\]",
    ),
    "intrinsics of words": (WORLD_MAT, ["a", "b", "c", "d"], "intrinsics must be numbers"),
    "world_mat 3 x 3": (np.eye(3), INTRINSICS, r"world_mat must have shape \[n, 4\], got \[3, 3\]"),
    "world_mat 2 x 4": (np.eye(2, 4), INTRINSICS, r"must have shape \[3, 4\], got \[2, 4\]"),
    "world_mat of words": ([["a"] * 4] * 3, INTRINSICS, "world_mat must be numbers"),
    "world_mat missing": (None, INTRINSICS, "world_mat must"),
    "not finite": (np.full((3, 4), np.nan), INTRINSICS, "world_mat must be finite"),
}


@pytest.mark.parametrize(
    ("world_mat", "intrinsics", "sentence"), REFUSED.values(), ids=REFUSED.keys()
)
def test_a_camera_that_cannot_be_is_refused(world_mat: Any, intrinsics: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Camera.from_dataset(world_mat, intrinsics)


@pytest.mark.parametrize(("width", "height"), [(720, 1280), (1280, 720), (512, 512), (1000, 800)])
@pytest.mark.parametrize("size", [(360, 640), (640, 360), (512, 512), (800, 640)])
def test_no_picture_is_stretched_or_cut(width: int, height: int, size: tuple[int, int]) -> None:
    """A focal length of 1.5 longer sides: fx W = fy H in the picture, and in every other."""
    focal = 1.5 * max(width, height)
    lens = np.array([focal / width, focal / height, 0.55, 0.5], dtype=np.float32)
    camera = Camera(Camera.looking_at(np.zeros(3)).world_to_camera, lens)
    assert picture_aspect(camera) == pytest.approx(width / height, rel=1e-6)
    fx, fy, cx, cy = with_square_pixels(camera, *size).intrinsics
    assert fx * size[0] == pytest.approx(fy * size[1], rel=1e-6)
    scale = fx * size[0] / focal
    assert scale == pytest.approx(min(size[0] / width, size[1] / height), rel=1e-6)
    middle = size[0] / 2 + 0.05 * width * scale
    assert (cx * size[0], cy * size[1]) == pytest.approx((middle, size[1] / 2), rel=1e-6)


def test_at_its_own_shape_a_camera_stays() -> None:
    camera = Camera(
        Camera.looking_at(np.zeros(3)).world_to_camera,
        np.array([2.6, 1.5, 0.5, 0.4], dtype=np.float32),
    )
    fitted = with_square_pixels(camera, 1500, 2600)
    np.testing.assert_allclose(fitted.intrinsics, camera.intrinsics, rtol=1e-6)


def test_a_nearly_square_lens_is_that_of_a_square_picture() -> None:
    """The published files state fx and fy of square pictures a few per cent apart."""
    lens = np.array([3.0, 2.9, 0.51, 0.49], dtype=np.float32)
    camera = Camera(Camera.looking_at(np.zeros(3)).world_to_camera, lens)
    assert picture_aspect(camera) == 1.0
    np.testing.assert_array_equal(with_square_pixels(camera, 512, 512).intrinsics, lens)
