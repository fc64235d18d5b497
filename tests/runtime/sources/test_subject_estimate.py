"""Estimates of a person: when faces join, and outlines in the pixels of the camera's images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from imavatar_deploy.head_fit.evidence import HEAD, Silhouettes
from imavatar_deploy.runtime.sources.subject_estimate import (
    OUTLINE_SIDE,
    EstimateStage,
    HeadCut,
    LandmarkCollector,
    OutlinedCollector,
    Subject,
    SubjectEstimate,
)
from imavatar_deploy.vision.outline import CHIN, FOREHEAD, JAWS, SIDES

WIDTH, HEIGHT = 1280, 720
CENTRE, RADIUS = (700.0, 300.0), 170.0
"""The head is a disc in these images."""


def landmarks(scale: float = 1.0) -> NDArray[np.float32]:
    """Landmarks of a face in the middle of the disc."""
    points = np.zeros((478, 3))
    points[CHIN, 1], points[FOREHEAD, 1] = 140, -120
    points[SIDES[0], 0], points[SIDES[1], 0] = -110, 110
    points[list(JAWS), 1] = 90
    points *= scale
    points[:, :2] += CENTRE
    return points.astype(np.float32)


def disc(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Stand-in of the person mask: what is bright."""
    return (image[..., 0] / 255).astype(np.float32)


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    inside = np.hypot(column - CENTRE[0], row - CENTRE[1]) < RADIUS
    return np.repeat(np.where(inside, 255, 0).astype(np.uint8)[..., None], 3, axis=2)


def test_outlines_are_in_pixels_of_the_image(image: NDArray[np.uint8]) -> None:
    seen: list[Any] = []

    def estimate(points: NDArray[np.float32], silhouettes: Silhouettes) -> Subject:
        seen.append((points, silhouettes))
        return Subject()

    collector = OutlinedCollector(disc, estimate)
    for _ in range(3):
        collector.add(image, landmarks())
    collector.estimate()
    ((points, silhouettes),) = seen
    assert points.shape == (3, 478, 3)
    assert len(silhouettes) == 3
    assert (silhouettes.weight > 0.5).all()
    for contour, normals, labels in zip(
        silhouettes.contours, silhouettes.normals, silhouettes.labels, strict=True
    ):
        away = contour - CENTRE
        distance = np.linalg.norm(away, axis=1)
        np.testing.assert_allclose(distance, RADIUS, atol=1.0)
        assert (np.einsum("ni,ni->n", normals, away / distance[:, None]) > 0.95).all()
        assert (labels[contour[:, 1] < CENTRE[1]] == HEAD).all()


def test_points_of_a_cut_return(image: NDArray[np.uint8]) -> None:
    cut = HeadCut.around(landmarks(), WIDTH, HEIGHT)
    part = cut.apply(image)
    assert max(part.shape[:2]) == OUTLINE_SIDE
    points = landmarks()[:, :2]
    np.testing.assert_allclose(cut.points_back(cut.points(points)), points, atol=1e-3)
    column, row = cut.points(np.array([CENTRE], np.float32))[0]
    bright = np.argwhere(part[..., 0] > 127).mean(axis=0)
    np.testing.assert_allclose(bright, (row, column), atol=0.5)


@pytest.mark.parametrize("middle", [(-500.0, 300.0), (1279.0, 719.0), (5000.0, 5000.0)])
def test_a_face_at_the_border_has_a_cut(
    image: NDArray[np.uint8], middle: tuple[float, ...]
) -> None:
    points = landmarks(0.3)
    points[:, :2] += np.array(middle, np.float32) - np.array(CENTRE, np.float32)
    part = HeadCut.around(points, WIDTH, HEIGHT).apply(image)
    assert part.size > 0


def test_faces_join_at_their_interval_until_there_are_enough(image: NDArray[np.uint8]) -> None:
    shapes: list[int] = []

    def estimate(points: NDArray[np.float32]) -> NDArray[np.float32]:
        shapes.append(len(points))
        return np.ones(3, np.float32)

    stage = EstimateStage("known", 4, 0.1, lambda size: LandmarkCollector(estimate))
    progress = SubjectEstimate(stage, (WIDTH, HEIGHT))
    for index in range(30):
        progress.add(image, landmarks(), index / 50)
        assert progress.progress != "4 of 4 faces"
    progress.wait(20)
    assert shapes == [4]
    result = progress.subject()
    assert result is not None
    np.testing.assert_array_equal(np.asarray(result.shape), np.ones(3))
