"""Landmark correspondences: checked arrays, interpolation, and places on OpenHead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.head_fit import LANDMARKS, LandmarkPoints, landmark_points, landmark_points_68
from imavatar_deploy.head_fit.ibug_landmarks import landmark_vertices
from imavatar_deploy.head_model import HeadModel


def points(**changes: object) -> LandmarkPoints:
    arrays = {
        "triangles": np.array([0, 1], dtype=np.int32),
        "barycentric": np.array([[1, 0, 0], [0.2, 0.3, 0.5]], dtype=np.float32),
        "edition": "openhead",
    }
    return LandmarkPoints(**(arrays | changes))  # type: ignore[arg-type]


class TestLandmarkPoints:
    def test_positions_are_weighted_corners(self) -> None:
        faces = np.array([[0, 1, 2], [1, 2, 3]], dtype=np.int32)
        vertices = np.arange(12, dtype=np.float32).reshape(4, 3)
        expected = [vertices[0], 0.2 * vertices[1] + 0.3 * vertices[2] + 0.5 * vertices[3]]
        np.testing.assert_allclose(points().positions(vertices, faces), expected, atol=1e-6)

    def test_values_of_any_shape_are_interpolated(self, openhead: HeadModel) -> None:
        basis = openhead.expression_basis
        at_landmarks = landmark_points(openhead).interpolate(basis, openhead.faces)
        assert at_landmarks.shape == (LANDMARKS, 3, 50)
        assert at_landmarks.dtype == np.float32

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"barycentric": np.ones((2, 3), dtype=np.float32)}, "must sum to one"),
            ({"triangles": np.array([-1, 0], dtype=np.int32)}, "negative one"),
            ({"triangles": np.array([0], dtype=np.int32)}, r"must have shape \[1, 3\]"),
            ({"spread": np.array([0.1, -0.1], dtype=np.float32)}, "spread must not be negative"),
            ({"spread": np.ones(3, dtype=np.float32)}, r"must have shape \[2\]"),
        ],
    )
    def test_bad_arrays_are_refused(self, changes: dict[str, object], message: str) -> None:
        with pytest.raises(InputError, match=message):
            points(**changes)

    def test_an_unknown_edition_is_refused(self) -> None:
        with pytest.raises(UsageError, match="flame1999"):
            points(edition="flame1999")

    def test_points_of_another_head_are_refused(self) -> None:
        faces = np.array([[0, 1, 2]], dtype=np.int32)
        with pytest.raises(InputError, match="triangle 1, and the head has only 1 faces"):
            points().positions(np.zeros((3, 3), dtype=np.float32), faces)


class TestOpenHead:
    def test_the_68_lie_at_the_vertices_of_the_dataset(self, openhead: HeadModel) -> None:
        positions = landmark_points_68(openhead).positions(openhead.template, openhead.faces)
        vertices = landmark_vertices(openhead)[:68]
        np.testing.assert_array_equal(positions, openhead.template[vertices])

    def test_they_do_not_depend_on_the_shape(self, openhead: HeadModel) -> None:
        shaped = openhead.for_subject(np.ones(30, dtype=np.float32))
        np.testing.assert_array_equal(
            landmark_points(shaped).triangles, landmark_points(openhead).triangles
        )

    def test_another_edition_is_refused(self, openhead: HeadModel) -> None:
        with pytest.raises(InputError, match="flame2020"):
            landmark_points(replace(openhead, edition="flame2020"))
