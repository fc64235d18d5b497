"""Groups of landmarks: mirror images, sides, and places on OpenHead."""

from __future__ import annotations

import numpy as np
import pytest

from imavatar_deploy.head_fit import landmark_groups as groups
from imavatar_deploy.head_fit import landmark_points
from imavatar_deploy.head_model import HeadModel


def test_the_mirror_of_a_mirror_is_the_landmark() -> None:
    np.testing.assert_array_equal(groups.MIRROR[groups.MIRROR], np.arange(478))
    assert not groups.MIRROR.flags.writeable


@pytest.mark.parametrize(
    ("right", "left"),
    [
        (groups.RIGHT_EYE, groups.LEFT_EYE),
        (groups.RIGHT_BROW, groups.LEFT_BROW),
        (groups.RIGHT_IRIS, groups.LEFT_IRIS),
        (groups.LIPS_OUTER, groups.LIPS_OUTER),
        (groups.LIPS_INNER, groups.LIPS_INNER),
        (groups.OVAL, groups.OVAL),
        (groups.NOSE, groups.NOSE),
    ],
)
def test_groups_of_both_sides_mirror_each_other(
    right: tuple[int, ...], left: tuple[int, ...]
) -> None:
    assert {int(groups.MIRROR[index]) for index in right} == set(left)


def test_the_table_is_symmetric(openhead: HeadModel) -> None:
    places = landmark_points(openhead).positions(openhead.template, openhead.faces)
    mirrored = places[groups.MIRROR] * np.array([-1, 1, 1], dtype=np.float32)
    np.testing.assert_allclose(places, mirrored, atol=5e-4)


def test_landmarks_lie_where_their_names_say(openhead: HeadModel) -> None:
    points = landmark_points(openhead)
    x, y, z = 4.0 * points.positions(openhead.template, openhead.faces).T
    jaw = points.interpolate(openhead.weights, openhead.faces)[:, 2]
    assert x[list(groups.RIGHT_EYE)].max() < -0.03 < 0.03 < x[list(groups.LEFT_EYE)].min()
    assert y[list(groups.BROWS)].min() > y[list(groups.RIGHT_EYE)].max()
    assert z[1] > 0.45, "the tip of the nose"
    assert y[152] == y.min(), "the chin"
    assert jaw[[13, 82, 312, 0]].max() < 0.2, "the upper lip"
    assert jaw[[14, 87, 317, 17]].min() > 0.8, "the lower lip"
    assert (y[[13, 82, 312]] > y[[14, 87, 317]]).all()


def test_irises_are_on_the_axes_of_the_eyes(openhead: HeadModel) -> None:
    points = landmark_points(openhead)
    places = points.positions(openhead.template, openhead.faces)
    joints = openhead.joint_regressor @ openhead.template
    for bone, iris in ((4, groups.RIGHT_IRIS), (3, groups.LEFT_IRIS)):
        centre, *ring = places[list(iris)] - joints[bone]
        np.testing.assert_allclose(centre[:2], 0.0, atol=2e-4)
        radii = 1000 * np.linalg.norm(np.array(ring)[:, :2], axis=1)
        np.testing.assert_allclose(radii, 5.75, atol=0.3)


def test_spreads_are_those_of_a_face(openhead: HeadModel) -> None:
    spread = landmark_points(openhead).spread
    assert spread is not None
    assert 0.0002 < spread.min() < spread.max() < 0.01
    assert spread[list(groups.RIGHT_EYE)].mean() < spread[list(groups.OVAL)].mean() / 2
