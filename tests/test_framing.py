"""Framing: a camera that orbits the head."""

from __future__ import annotations

import numpy as np
import pytest

from imavatar_deploy.camera import Camera, orbited


def project(camera: Camera, point: list[float]) -> np.ndarray:
    column, row, depth = camera.image_matrix(100, 100) @ np.array([*point, 1.0])
    return np.array([column / depth, row / depth])


FRONT = Camera.looking_at([0.1, 0.2, 0.0], extent=1.5)


def test_not_moved_is_the_very_same_camera() -> None:
    assert orbited(FRONT, yaw=0.0, pitch=0.0, zoom=1.0) is FRONT


@pytest.mark.parametrize(("yaw", "pitch"), [(0.7, 0.0), (0.0, 0.5), (-2.0, -0.4)])
def test_it_keeps_looking_at_the_same_point_from_as_far(yaw: float, pitch: float) -> None:
    moved = orbited(FRONT, yaw=yaw, pitch=pitch, zoom=1.0)
    np.testing.assert_allclose(
        project(moved, [0.1, 0.2, 0.0]), [50, 50], atol=0.6
    )  # the head is not at the origin
    middle = np.array([0.1, 0.2, FRONT.centre[2] - np.linalg.norm(FRONT.centre)])
    distances = [np.linalg.norm(camera.centre - middle) for camera in (FRONT, moved)]
    assert distances[0] == pytest.approx(distances[1], rel=1e-5)


def test_right_is_right_and_up_is_up() -> None:
    assert orbited(FRONT, yaw=0.5, pitch=0.0, zoom=1.0).centre[0] > FRONT.centre[0] + 1
    assert orbited(FRONT, yaw=0.0, pitch=0.5, zoom=1.0).centre[1] > FRONT.centre[1] + 1


def test_zoom_enlarges_the_picture() -> None:
    near = orbited(FRONT, yaw=0.0, pitch=0.0, zoom=2.0)
    offset = project(FRONT, [0.3, 0.1, 0.2]) - 50
    np.testing.assert_allclose(project(near, [0.3, 0.1, 0.2]) - 50, 2 * offset, atol=1e-3)
