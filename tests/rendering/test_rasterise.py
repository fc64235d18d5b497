"""The rasteriser against exhaustive ray casting, and on edges, clipping and degenerate faces."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.rendering.rasteriser import NEAR, Fragments, Rasteriser
from imavatar_deploy.rendering.workers import Workers

from ..shapes import closed_sphere

Float = NDArray[np.float32]

WIDTH = 48
HEIGHT = 40
PIXELS = np.eye(3, 4, dtype=np.float32)
"""Image matrix for vertices that are (column w, row w, w) already."""


def draw(
    points: object, faces: object, workers: Workers, *, matrix: Float = PIXELS, cull: bool = False
) -> Fragments:
    rasteriser = Rasteriser(
        np.array(faces, dtype=np.int32).reshape(-1, 3), WIDTH, HEIGHT, workers, cull=cull
    )
    return rasteriser.draw(np.array(points, dtype=np.float32), matrix)


def cast_rays(
    vertices: Float, faces: NDArray[np.int32], camera: Camera
) -> tuple[NDArray[np.float64], ...]:
    """Return depth [H, W, F], inf where a ray misses, and barycentrics [H, W, F, 3].

    Moeller and Trumbore's intersection in float64.
    """
    matrix = camera.image_matrix(WIDTH, HEIGHT).astype(np.float64)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    unprojection = np.linalg.inv(matrix[:, :3])
    rays = (np.stack([columns, rows, np.ones_like(rows)], -1) @ unprojection.T)[
        :, :, None
    ]  # one unit of depth long
    a, b, c = (vertices[faces[:, corner]].astype(np.float64) for corner in range(3))
    eye = -unprojection @ matrix[:, 3]
    across = np.cross(rays, c - a)
    det = np.sum(across * (b - a), -1)
    u = np.sum(across * (eye - a), -1) / det
    turned = np.cross(eye - a, b - a)
    v = np.sum(rays * turned, -1) / det
    depth = np.sum((c - a) * turned, -1) / det
    hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (depth > NEAR)
    return np.where(hit, depth, np.inf), np.stack([1 - u - v, u, v], -1)


def random_soup(seed: int, count: int, spread: float) -> tuple[Float, NDArray[np.int32]]:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-2.5, 2.5, size=(count, 1, 3))
    corners = centres + spread * rng.normal(size=(count, 3, 3))
    return corners.reshape(-1, 3).astype(np.float32), np.arange(3 * count, dtype=np.int32).reshape(
        -1, 3
    )


@pytest.mark.parametrize(
    ("seed", "spread", "distance"), [(0, 0.4, 4.0), (1, 1.5, 1.0), (2, 3.0, 0.5), (3, 20.0, 2.0)]
)
def test_soup_agrees_with_ray_casting(
    seed: int, spread: float, distance: float, workers: Workers
) -> None:
    """At near distances corners are behind the camera; the last triangles are very large."""
    vertices, faces = random_soup(seed, 60, spread)
    camera = Camera.looking_at([0.1, 0.2, 0.0], distance=distance, yaw=0.3)
    depth, barycentrics = cast_rays(vertices, faces, camera)
    nearest = depth.argmin(axis=2)
    fragments = draw(vertices, faces, workers, matrix=camera.image_matrix(WIDTH, HEIGHT))
    expected = np.where(np.isfinite(depth.min(axis=2)), nearest, -1)
    assert (expected >= 0).any()
    np.testing.assert_array_equal(fragments.triangle, expected)
    truth = np.take_along_axis(barycentrics, nearest[..., None, None], axis=2)[:, :, 0]
    covered = expected >= 0
    np.testing.assert_allclose(fragments.barycentrics[covered], truth[covered], atol=2e-5)


def test_some_soup_crosses_the_near_plane() -> None:
    """The cases of the test above cover what they are for."""
    vertices, faces = random_soup(2, 60, 3.0)
    camera = Camera.looking_at([0.1, 0.2, 0.0], distance=0.5, yaw=0.3)
    w = (
        vertices @ camera.image_matrix(WIDTH, HEIGHT)[2, :3]
        + camera.image_matrix(WIDTH, HEIGHT)[2, 3]
    )[faces]
    crossing = (w.min(axis=1) < 0) & (w.max(axis=1) > NEAR)
    triangles = np.unique(
        draw(vertices, faces, Workers(1), matrix=camera.image_matrix(WIDTH, HEIGHT)).triangle
    )
    assert np.isin(triangles, np.flatnonzero(crossing)).sum() > 5


def times_covered(
    points: Float, faces: NDArray[np.int32], *, matrix: Float = PIXELS, cull: bool = False
) -> NDArray[np.int_]:
    """Return how many triangles cover each pixel, [H, W], each drawn alone."""
    alone = [
        draw(points, face, Workers(1), matrix=matrix, cull=cull).triangle == 0 for face in faces
    ]
    return np.sum(alone, axis=0)


@pytest.mark.parametrize("flip", [False, True], ids=["one diagonal", "the other"])
@pytest.mark.parametrize("depth", [1.0, 2.0, 3.0, 0.7])
@pytest.mark.parametrize("step", [1.0, 2.0, 2.5])
def test_grid_with_vertices_on_pixel_centres_is_covered_once(
    step: float, depth: float, flip: bool
) -> None:
    """All edges pass through pixel centres; only the left and top of the region belong to it."""
    side = 5
    rows, columns = np.mgrid[:side, :side] * step + 4.0
    points = np.stack([columns, rows, np.ones_like(rows)], -1).reshape(-1, 3).astype(
        np.float32
    ) * np.float32(depth)
    corner = np.arange(side * side).reshape(side, side)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]
    halves = [[a, b, d], [b, c, d]] if flip else [[a, b, c], [a, c, d]]
    faces = np.concatenate([np.stack(half, -1).reshape(-1, 3) for half in halves]).astype(np.int32)
    covered = times_covered(points, faces)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    last = 4.0 + step * (side - 1)
    inside = (y > 4) & (y < last) & (x > 4) & (x < last)
    np.testing.assert_array_equal(covered[inside], 1)
    outside = (y < 4) | (y > last) | (x < 4) | (x > last)
    np.testing.assert_array_equal(covered[outside], 0)
    if depth in (1.0, 2.0):  # exact in binary: what is on an edge is exactly on it
        expected = (y >= 4) & (y < last) & (x >= 4) & (x < last)
        np.testing.assert_array_equal(covered, expected)


@pytest.mark.parametrize("seed", range(4))
def test_fan_about_a_pixel_centre_is_covered_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
    rim = np.stack([20 + 15 * np.cos(angles), 18 + 15 * np.sin(angles)], -1)
    depth = rng.uniform(0.5, 4.0, size=(13, 1))
    points = (np.column_stack([np.vstack([[20, 18], rim]), np.ones(13)]) * depth).astype(np.float32)
    faces = np.array([[0, 1 + i, 1 + (i + 1) % 12] for i in range(12)], dtype=np.int32)
    covered = times_covered(points, faces)
    assert covered.max() == 1
    distance = np.hypot(*(np.mgrid[:HEIGHT, :WIDTH] - np.array([18, 20])[:, None, None]))
    gaps = np.append(np.diff(angles), angles[0] + 2 * np.pi - angles[-1])
    np.testing.assert_array_equal(covered[distance < 15 * np.cos(gaps.max() / 2) - 0.01], 1)


def test_closed_sphere_shows_each_pixel_one_front_and_one_back() -> None:
    sphere, faces = closed_sphere(9, 10)
    camera = Camera.looking_at([0.05, -0.02, 0.01], extent=2.2, yaw=0.4)
    matrix = camera.image_matrix(WIDTH, HEIGHT)
    front = times_covered(sphere, faces, matrix=matrix, cull=True)
    both = times_covered(sphere, faces, matrix=matrix)
    assert 0.2 < front.mean() < 0.9
    assert front.max() == 1
    np.testing.assert_array_equal(both, 2 * front)


def test_culling_keeps_the_outside(workers: Workers) -> None:
    sphere, faces = closed_sphere(9, 10)
    matrix = Camera.looking_at([0, 0, 0], extent=2.2).image_matrix(WIDTH, HEIGHT)
    open_ended = draw(sphere, faces, workers, matrix=matrix)
    culled = draw(sphere, faces, workers, matrix=matrix, cull=True)
    np.testing.assert_array_equal(culled.triangle, open_ended.triangle)
    inside_out = draw(sphere, faces[:, ::-1], workers, matrix=matrix, cull=True)
    covered = inside_out.triangle >= 0
    np.testing.assert_array_equal(covered, culled.triangle >= 0)
    assert not (inside_out.triangle == culled.triangle)[covered].any()


def test_interpolation_is_perspective_correct(workers: Workers) -> None:
    """An attribute that is linear in space is interpolated linearly on a receding floor."""
    floor = np.array([[-2, -0.5, 3.5], [2, -0.5, 3.5], [0, -0.5, -30]], dtype=np.float32)
    camera = Camera.looking_at([0, 0, 0], extent=3.0)
    fragments = draw(floor, [0, 1, 2], workers, matrix=camera.image_matrix(WIDTH, HEIGHT))
    covered = fragments.triangle >= 0
    depth = fragments.barycentrics[covered] @ (4.0 - floor[:, 2])
    fy = camera.intrinsics[1] * HEIGHT
    cy = camera.intrinsics[3] * HEIGHT
    expected = 0.5 * fy / (np.nonzero(covered)[0] - cy)
    assert np.ptp(expected) > 5
    np.testing.assert_allclose(depth, expected, rtol=1e-4)


def test_near_plane_cuts(workers: Workers) -> None:
    """Of a floor that begins behind the camera, pixels in front of the near plane stay empty."""
    floor = np.array([[-9, -0.031, 9], [9, -0.031, 9], [0, -0.031, -900]], dtype=np.float32)
    camera = Camera.looking_at([0, 0, 0], extent=12.0)
    middle = draw(floor, [0, 1, 2], workers, matrix=camera.image_matrix(WIDTH, HEIGHT)).triangle[
        :, WIDTH // 2
    ]
    fy = camera.intrinsics[1] * HEIGHT
    cy = camera.intrinsics[3] * HEIGHT
    below = np.arange(HEIGHT) > cy
    depth = 0.031 * fy / np.maximum(np.arange(HEIGHT) - cy, 1e-9)
    assert (depth[below] < NEAR).any()
    np.testing.assert_array_equal(middle == 0, below & (depth > NEAR))


NOTHING = {
    "behind the camera": [[1, 1, -1], [30, 1, -1], [1, 30, -1]],
    "nearer than the near plane": [[0.01, 0, 0.01], [0.3, 0, 0.01], [0, 0.3, 0.01]],
    "left of the image": [[-30, 1, 1], [-2, 1, 1], [-30, 30, 1]],
    "below the image": [[1, 900, 1], [30, 900, 1], [1, 990, 1]],
    "a point": [[5, 5, 1], [5, 5, 1], [5, 5, 1]],
    "a line": [[5, 5, 1], [10, 10, 1], [20, 20, 1]],
    "between pixel centres": [[5.2, 5.2, 1], [5.8, 5.2, 1], [5.2, 5.8, 1]],
    "not a number": [[1, 1, 1], [30, np.nan, 1], [1, 30, 1]],
    "infinite": [[1, 1, 1], [np.inf, 1, 1], [1, 30, 1]],
    "at the eye": [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
}


@pytest.mark.parametrize("points", NOTHING.values(), ids=NOTHING.keys())
def test_nothing_to_see(points: list[list[float]], workers: Workers) -> None:
    good = [[40, 30, 9], [43, 30, 9], [40, 33, 9]]
    fragments = draw(
        points + (np.array(good) * [9, 9, 1]).tolist(), [[0, 1, 2], [3, 4, 5]], workers
    )
    assert set(np.unique(fragments.triangle)) == {-1, 1}


def test_huge_triangle_fills_the_image(workers: Workers) -> None:
    fragments = draw([[-1e7, -1e7, 1], [1e7, -1e7, 1], [0, 1e8, 1]], [0, 1, 2], workers)
    assert (fragments.triangle == 0).all()
    np.testing.assert_allclose(fragments.barycentrics.sum(axis=-1), 1, atol=1e-6)


def test_no_triangles(workers: Workers) -> None:
    assert (draw(np.zeros((0, 3)), [], workers).triangle == -1).all()


def test_the_first_of_equally_near_triangles_wins(workers: Workers) -> None:
    points = [[1, 1, 1], [30, 1, 1], [1, 30, 1]]
    assert set(np.unique(draw(points, [[0, 1, 2], [1, 2, 0]], workers).triangle)) == {-1, 0}


def test_a_new_frame_forgets_the_old_one(workers: Workers) -> None:
    rasteriser = Rasteriser(
        np.array([[0, 1, 2]], dtype=np.int32), WIDTH, HEIGHT, workers, cull=False
    )
    near = np.array([[1, 1, 1], [30, 1, 1], [1, 30, 1]], dtype=np.float32)
    far = near * 5 + np.array([90, 60, 0], dtype=np.float32)
    rasteriser.draw(near, PIXELS)
    again = rasteriser.draw(far, PIXELS).triangle.copy()
    np.testing.assert_array_equal(again, draw(far, [0, 1, 2], workers).triangle)
