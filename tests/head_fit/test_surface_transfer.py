"""Transfer of landmarks to another head model: the error where the truth is known."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_fit import (
    correspondences,
    landmark_groups,
    landmark_points,
    landmark_points_68,
)
from imavatar_deploy.head_fit.surface_transfer import similarity
from imavatar_deploy.head_model import HeadModel

from .flame_like import flame_like, other_person

REGIONS = {
    "lids": landmark_groups.RIGHT_EYE + landmark_groups.LEFT_EYE,
    "outer lips": landmark_groups.LIPS_OUTER,
    "inner lips": landmark_groups.LIPS_INNER,
    "brows": landmark_groups.BROWS,
    "nose": landmark_groups.NOSE,
    "irises": landmark_groups.IRISES,
    "oval": landmark_groups.OVAL,
}
LARGEST = 2.0
"""Millimetres that the mean error of a region with features may have."""
LARGEST_ON_OVAL = 2.5
"""The same for the outline, along which nothing but the shape of the whole jaw fixes a point."""

Pair = tuple[HeadModel, Float32[Array, "V 3"], HeadModel]


@pytest.fixture(scope="module", params=[1, 2])
def other(request: pytest.FixtureRequest, openhead: HeadModel) -> Pair:
    """A head like FLAME's, the vertices of the OpenHead it is made from, and OpenHead."""
    made, truth = flame_like(other_person(openhead, request.param), 9000, request.param)
    return made, truth, openhead


def test_every_region_is_within_millimetres(other: Pair) -> None:
    made, truth, openhead = other
    assert len(made.template) != len(openhead.template)
    points = landmark_points(made)
    assert points.edition == "flame2020"
    expected = landmark_points(openhead).positions(truth, openhead.faces)
    distance = 1000 * np.linalg.norm(points.positions(made.template, made.faces) - expected, axis=1)
    means = {name: float(distance[list(region)].mean()) for name, region in REGIONS.items()}
    assert means.pop("oval") <= LARGEST_ON_OVAL
    assert max(means.values()) <= LARGEST, means


def test_lips_and_eyes_are_not_confused(other: Pair) -> None:
    made, _, openhead = other
    of_points = [
        landmark_points(head).interpolate(head.weights, head.faces) for head in (made, openhead)
    ]
    jaw, expected = (weights[list(landmark_groups.LIPS_INNER), 2] for weights in of_points)
    apart = np.abs(expected - 0.5) > 0.3
    assert set((expected > 0.5)[apart]) == {True, False}
    assert ((jaw > 0.5) == (expected > 0.5))[apart].all()
    for bone, iris in ((3, landmark_groups.LEFT_IRIS), (4, landmark_groups.RIGHT_IRIS)):
        np.testing.assert_allclose(of_points[0][list(iris), bone], 1.0, atol=1e-5)


def test_the_68_are_transferred_too(openhead: HeadModel) -> None:
    made, truth = flame_like(other_person(openhead, 3), 9000, 3)
    positions = landmark_points_68(made).positions(made.template, made.faces)
    expected = landmark_points_68(openhead).positions(truth, openhead.faces)
    inner = slice(17, 68)
    distance = np.linalg.norm(positions - expected, axis=1)
    assert 1000 * distance[inner].mean() <= LARGEST


def test_a_transfer_is_kept_for_the_same_head_and_made_anew_for_another(
    openhead: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def transfer(*arguments: object) -> tuple[np.ndarray, np.ndarray]:
        calls.append(arguments)
        count = len(landmark_points(openhead))
        return np.zeros(count, dtype=np.int64), np.full((count, 3), 1 / 3)

    monkeypatch.setattr(correspondences, "transfer_points", transfer)
    monkeypatch.setattr(correspondences, "_transferred", OrderedDict())
    head = replace(openhead, edition="flame2020")
    first = landmark_points(head)
    assert landmark_points(replace(head, template=head.template.copy())) is first
    assert len(calls) == 1
    assert not first.barycentric.flags.writeable
    assert landmark_points(replace(head, template=1.01 * head.template)) is not first
    assert landmark_points(replace(head, edition="flame2023")).edition == "flame2023"
    assert len(calls) == 3


def test_a_head_that_is_no_face_is_refused(openhead: HeadModel) -> None:
    rng = np.random.default_rng(0)
    noise = 0.05 * rng.normal(size=openhead.template.shape).astype(np.float32)
    made = replace(openhead, template=openhead.template + noise, edition="flame2020")
    with pytest.raises(InputError, match="cannot be transferred"):
        landmark_points(made)


def test_a_head_without_eyes_is_refused(openhead: HeadModel) -> None:
    weights = openhead.weights.copy()
    weights[:, 1] += weights[:, 3:].sum(axis=1)
    weights[:, 3:] = 0.0
    with pytest.raises(InputError, match="no eyeball"):
        landmark_points(replace(openhead, weights=weights, edition="flame2020"))


def test_a_similarity_is_recovered() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(5, 3))
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    scale, turned, shift = similarity(points, 2.0 * points @ rotation.T + [1.0, 2.0, 3.0])
    assert scale == pytest.approx(2.0)
    np.testing.assert_allclose(turned, rotation, atol=1e-12)
    np.testing.assert_allclose(shift, [1.0, 2.0, 3.0], atol=1e-12)
