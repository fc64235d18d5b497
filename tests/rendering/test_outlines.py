"""Anti-aliased outlines: coverage against exact areas, and pixels that must not change."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.rendering.compositing import composite, covered_area
from imavatar_deploy.rendering.outlines import OutlineFinder, focal_length, mesh_edges
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

from ..shapes import closed_sphere

Float = NDArray[np.float32]

SIZE = (44, 52)
"""Height and width."""

MATRIX = np.diag([100.0, 100.0, 1.0, 0.0])[:3].astype(np.float32)
"""Image matrix of a camera at the origin with a focal length of 100 pixels."""

TRANSPARENT = (0, 0, 0, 0)


def polygon(corners: object, depth: float = 1.0) -> Float:
    """Vertices whose image is a convex polygon (column, row), counter-clockwise from outside."""
    points = np.array(corners, dtype=np.float64)
    x, y = points.T
    if np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) > 0:
        points = points[::-1]
    return np.column_stack([points / 100, np.ones(len(points))]).astype(np.float32) * depth


def fan(count: int, first: int = 0) -> NDArray[np.int32]:
    return np.array([[first, first + i, first + i + 1] for i in range(1, count - 1)], np.int32)


def draw(
    vertices: Float,
    faces: NDArray[np.int32],
    workers: Workers,
    *,
    antialias: bool = True,
    matrix: Float = MATRIX,
    colours: Float | None = None,
    background: tuple[int, ...] = TRANSPARENT,
) -> NDArray[np.uint8]:
    """Draw a mesh, white or by colours `[F, 3]` of its faces."""
    rasteriser = Rasteriser(faces, SIZE[1], SIZE[0], workers)
    triangle = rasteriser.draw(vertices, matrix).triangle
    table = np.ones((len(faces) + 1, 3), dtype=np.float32) if colours is None else colours
    image = np.where((triangle >= 0)[..., None], table[triangle], np.float32(np.nan))
    outlines = OutlineFinder(faces, rasteriser, SIZE).outlines(matrix) if antialias else None
    return composite(image, triangle, background, workers, outlines)


def exact_area(corners: object) -> NDArray[np.float64]:
    """The area of each pixel in a convex polygon: the polygon clipped by the pixel's sides."""
    area = np.zeros(SIZE)
    rows = np.array(corners, dtype=np.float64)
    for row in range(SIZE[0]):
        strip = clipped(clipped(rows, 1, row - 0.5, 1), 1, row + 0.5, -1)
        for column in range(SIZE[1]) if len(strip) else ():
            piece = clipped(clipped(strip, 0, column - 0.5, 1), 0, column + 0.5, -1)
            x, y = piece.reshape(-1, 2).T
            area[row, column] = abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
    return area.round(9)


def clipped(points: NDArray[np.float64], axis: int, limit: float, side: int) -> NDArray[np.float64]:
    """The part of a polygon on one side of a line parallel to an axis (Sutherland and Hodgman)."""
    kept = []
    for a, b in zip(points, np.roll(points, -1, axis=0), strict=True):
        before, after = side * (a[axis] - limit), side * (b[axis] - limit)
        if before >= 0:
            kept.append(a)
        if (before >= 0) != (after >= 0):
            kept.append(a + before / (before - after) * (b - a))
    return np.array(kept).reshape(-1, 2)


@pytest.mark.parametrize("seed", range(3))
def test_area_of_a_half_plane(seed: int) -> None:
    rng = np.random.default_rng(seed)
    offsets = (np.arange(200) + 0.5) / 200 - 0.5
    for _ in range(40):
        nx = rng.choice([0.0, rng.random(), 1.0])
        normal = np.array([nx, 1.0 - nx])
        distance = rng.uniform(-0.6, 0.6)
        samples = normal[0] * offsets[:, None] + normal[1] * offsets[None] + distance > 0
        assert covered_area(distance, *normal) == pytest.approx(samples.mean(), abs=6e-3)


@pytest.mark.parametrize("angle", [0, 3, 11.25, 22.5, 40, 45, 60, 85, 90, 120, 180, 201, 270, 333])
@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_half_plane(angle: float, offset: float, workers: Workers) -> None:
    turn = np.deg2rad(angle)
    along = np.array([np.cos(turn), np.sin(turn)])
    across = np.array([-along[1], along[0]])
    middle = np.array([25.1, 21.7]) + offset * across
    corners = [
        middle - 200 * along,
        middle + 200 * along,
        middle + 200 * along + 200 * across,
        middle - 200 * along + 200 * across,
    ]
    alpha = draw(polygon(corners), fan(4), workers)[..., 3] / 255
    area = exact_area(corners)
    partly = (area > 0) & (area < 1)
    partly[[0, -1]] = partly[:, [0, -1]] = False  # there a neighbour may lie outside the image
    error = np.abs(alpha - area)
    assert partly.sum() > 20
    assert error[partly].mean() < 4e-3
    assert error[1:-1, 1:-1].max() < 0.02
    hard = draw(polygon(corners), fan(4), workers, antialias=False)[..., 3] / 255
    assert np.abs(hard - area)[partly].mean() > 0.09


@pytest.mark.parametrize("count", [12, 60, 400])
def test_disc(count: int, workers: Workers) -> None:
    """With 400 corners several edges pass through each pixel, of triangles that cover no centre."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    corners = np.stack([25.3 + 16.2 * np.cos(angles), 21.6 + 16.2 * np.sin(angles)], -1)
    alpha = draw(polygon(corners), fan(count), workers)[..., 3] / 255
    area = exact_area(corners)
    partly = (area > 0) & (area < 1)
    error = np.abs(alpha - area)
    assert partly.sum() > 80
    assert error[partly].mean() < 0.01
    assert error.max() < 0.1
    assert alpha.sum() == pytest.approx(area.sum(), rel=2e-3)


def test_thin_triangle(workers: Workers) -> None:
    """Where it is thinner than a pixel, only pixels beside a covered centre can show it."""
    corners = [(4.2, 12.3), (4.2, 17.9), (46.7, 24.4)]
    area = exact_area(corners)
    alpha, hard = (
        draw(polygon(corners), fan(3), workers, antialias=antialias)[..., 3] / 255
        for antialias in (True, False)
    )
    partly = (area > 0) & (area < 1)
    wide = partly & (np.arange(SIZE[1]) < 38)  # a pixel and more from top to bottom
    error = np.abs(alpha - area)
    assert error[wide].mean() < 0.02
    assert error[partly].mean() < 0.25 * np.abs(hard - area)[partly].mean()
    assert alpha.sum() == pytest.approx(area.sum(), rel=0.02)
    assert not alpha[area == 0].any()


def two_layers(gap: float) -> tuple[Float, NDArray[np.int32], NDArray[np.float64]]:
    """A near half-plane before a wall, and the area of the near one."""
    near = [(-50, -90), (29, -90), (17, 130), (-50, 130)]
    wall = [(-400, -400), (900, -400), (900, 900), (-400, 900)]
    vertices = np.concatenate([polygon(near, 2.0), polygon(wall, 2.0 + gap)])
    return vertices, np.concatenate([fan(4), fan(4, 4)]), exact_area(near)


def test_two_layers(workers: Workers) -> None:
    vertices, faces, area = two_layers(1.0)
    colours = np.array([[1, 0, 0.2]] * 2 + [[0, 1, 0.2]] * 2, dtype=np.float32)
    image = draw(vertices, faces, workers, colours=colours)
    assert (image[..., 3] == 255).all()
    np.testing.assert_array_equal(image[..., 2], 51)
    expected = np.stack([area, 1 - area], -1)
    assert np.abs(image[..., :2] / 255 - expected)[1:-1].max() < 0.02
    assert (area % 1 > 0).sum() > 40


def test_a_surface_that_continues_has_no_outline(workers: Workers) -> None:
    """The border of a part lies on another part, or the vertices of a seam coincide."""
    vertices, faces, _ = two_layers(0.002)  # a tenth of a pixel at this depth
    colours = np.array([[1, 0, 0.2]] * 2 + [[0, 1, 0.2]] * 2, dtype=np.float32)
    smooth, hard = (
        draw(vertices, faces, workers, colours=colours, antialias=antialias)
        for antialias in (True, False)
    )
    assert len(np.unique(hard[..., 0])) == 2
    np.testing.assert_array_equal(smooth, hard)


def test_hidden_outlines_change_nothing(workers: Workers) -> None:
    vertices, faces, _ = two_layers(1.0)
    front = polygon([(-400, -400), (900, -400), (900, 900), (-400, 900)], 1.0)
    vertices = np.concatenate([vertices, front])
    faces = np.concatenate([faces, fan(4, 8)])
    colours = np.random.default_rng(0).random((6, 3)).astype(np.float32)
    np.testing.assert_array_equal(
        draw(vertices, faces, workers, colours=colours),
        draw(vertices, faces, workers, colours=colours, antialias=False),
    )


def sphere_frame() -> tuple[Float, NDArray[np.int32], Float]:
    sphere, faces = closed_sphere(31, 40)
    camera = Camera.looking_at([0.05, -0.02, 0.01], extent=2.2, yaw=0.4)
    return sphere, faces, camera.image_matrix(SIZE[1], SIZE[0])


def test_inside_a_smooth_surface_nothing_changes(workers: Workers) -> None:
    sphere, faces, matrix = sphere_frame()
    colours = np.random.default_rng(1).random((len(faces), 3)).astype(np.float32)
    smooth, hard = (
        draw(sphere, faces, workers, matrix=matrix, colours=colours, antialias=antialias)
        for antialias in (True, False)
    )
    covered = hard[..., 3] == 255
    inside = covered.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            inside &= np.roll(covered, step, axis)
    np.testing.assert_array_equal(smooth[inside], hard[inside])
    assert (smooth[..., 3] % 255 > 0).sum() > 80
    far = ~covered & (smooth[..., 3] > 0)
    assert not (smooth[..., 3] > 140)[far].any(), (
        "a centre that is not covered is mostly background"
    )


def test_threads_change_nothing() -> None:
    sphere, faces, matrix = sphere_frame()
    images = []
    for threads in (1, 2, 5):
        with Workers(threads) as workers:
            images.append(draw(sphere, faces, workers, matrix=matrix))
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[0], images[2])


@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255), (0, 177, 64)], ids=str)
def test_transparent_image_over_any_background(
    ground: tuple[int, int, int], workers: Workers
) -> None:
    sphere, faces, matrix = sphere_frame()
    colours = np.random.default_rng(1).random((len(faces), 3)).astype(np.float32)
    transparent = draw(sphere, faces, workers, matrix=matrix, colours=colours)
    opaque = draw(sphere, faces, workers, matrix=matrix, colours=colours, background=(*ground, 255))
    alpha = transparent[..., 3:] / 255
    over = transparent[..., :3] * alpha + np.array(ground) * (1 - alpha)
    assert (opaque[..., 3] == 255).all()
    assert np.abs(over - opaque[..., :3]).max() <= 1.5  # two roundings
    assert not transparent[transparent[..., 3] == 0].any()


def test_colours_at_an_outline_are_those_of_the_surface(workers: Workers) -> None:
    """Alpha alone says how much of a pixel is covered: no dark or light rim in straight colours."""
    sphere, faces, matrix = sphere_frame()
    colours = np.full((len(faces), 3), 0.6, dtype=np.float32)
    image = draw(sphere, faces, workers, matrix=matrix, colours=colours)
    np.testing.assert_array_equal(image[image[..., 3] > 0][:, :3], 153)


def test_edges_of_a_mesh() -> None:
    faces = np.array([[0, 1, 2], [2, 1, 3], [4, 5, 6]], dtype=np.int32)
    edges = {tuple(row) for row in mesh_edges(faces).tolist()}
    assert edges == {
        (0, 1, 0, 3),
        (1, 2, 0, 1),
        (2, 0, 0, 3),
        (1, 3, 1, 3),
        (3, 2, 1, 3),
        (4, 5, 2, 3),
        (5, 6, 2, 3),
        (6, 4, 2, 3),
    }
    _, closed = closed_sphere(9, 10)
    edges_of_sphere = mesh_edges(closed)
    assert len(edges_of_sphere) == 3 * len(closed) // 2
    assert edges_of_sphere[:, 2:].max() < len(closed)
    for a, b, face, other in edges_of_sphere.tolist():
        assert {a, b} <= set(closed[face]) & set(closed[other])
    # three faces at one edge: two are neighbours, the third has a border
    three = mesh_edges(np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4]], dtype=np.int32))
    shared = three[(three[:, :2].max(axis=1) == 1)]
    assert sorted((shared[:, 3] == 3).tolist()) == [False, True]
    assert mesh_edges(np.zeros((0, 3), dtype=np.int32)).shape == (0, 4)


def test_focal_length() -> None:
    assert focal_length(MATRIX) == pytest.approx(100)
    camera = Camera.looking_at([0.1, 0.2, 0.0], distance=3.0, yaw=0.7)
    expected = camera.intrinsics[0] * SIZE[1]
    assert focal_length(camera.image_matrix(SIZE[1], SIZE[0])) == pytest.approx(expected, rel=1e-5)


def test_degenerate_meshes(workers: Workers) -> None:
    good = polygon([(10, 10), (30, 10), (10, 30)])
    bad = [
        np.full((3, 3), np.nan),
        np.zeros((3, 3)),
        [[1, 1, -1], [9, 9, -1], [1, 9, -1]],
        [[1e30, 1, 1], [-1e30, 2, 1], [5, 1e30, 1]],
    ]
    expected = draw(good, fan(3), workers)
    for points in bad[:3]:
        vertices = np.concatenate([np.array(points, dtype=np.float32), good])
        image = draw(vertices, np.array([[0, 1, 2], [3, 4, 5]], np.int32), workers)
        np.testing.assert_array_equal(image, expected)
    huge = np.array(bad[3], dtype=np.float32)
    for faces in ([[0, 1, 2]], [[0, 2, 1]]):
        draw(huge, np.array(faces, dtype=np.int32), workers)
    empty = draw(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), workers)
    assert not empty.any()
