"""Landmarks: seventy different vertices in the order of iBUG, symmetric, for OpenHead alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imavatar_deploy.errors import InputError
from imavatar_deploy.head_fit.ibug_landmarks import landmark_vertices
from imavatar_deploy.head_model import HeadModel

MIRROR = (
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31,
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65, 69, 68,
)  # fmt: skip
"""The landmark on the other side of the face, in the iBUG order."""


def test_they_are_distinct_and_symmetric(openhead: HeadModel) -> None:
    vertices = landmark_vertices(openhead)
    assert vertices.shape == (70,)
    assert len(set(vertices.tolist())) == 70
    points = 4.0 * openhead.template[vertices]
    mirrored = points[list(MIRROR)] * np.array([-1, 1, 1], dtype=np.float32)
    np.testing.assert_allclose(points, mirrored, atol=2e-3)


def test_they_lie_where_their_names_say(openhead: HeadModel) -> None:
    x, y, z = 4.0 * openhead.template[landmark_vertices(openhead)].T
    assert x[0] < -0.2 < 0.2 < x[16]  # the subject's right comes first
    assert (np.diff(x[:17]) > 0).all()
    assert y[8] == y[:17].min()
    assert z[30] == z.max()
    assert (y[17:27] > y[36:48].max()).all()
    assert x[36] < x[39] < 0 < x[42] < x[45]
    assert (y[[37, 38]] > y[[41, 40]]).all()
    assert y[51] > y[62] > y[66] > y[57]
    groups = np.array(openhead.vertex_groups)[landmark_vertices(openhead)]
    assert (groups[:68] == "body").all()
    assert tuple(groups[68:]) == ("helper-r-eye", "helper-l-eye")


def test_a_subject_has_the_same_vertices_and_other_heads_have_none(openhead: HeadModel) -> None:
    shaped = openhead.for_subject(np.ones(30, dtype=np.float32))
    np.testing.assert_array_equal(landmark_vertices(shaped), landmark_vertices(openhead))
    with pytest.raises(InputError, match="flame2020"):
        landmark_vertices(replace(openhead, edition="flame2020"))
