"""Signed distance: known points of a head are inside or outside; the nearest surface point."""

from __future__ import annotations

import numpy as np
import pytest

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training.synthetic.noise import fractal_noise, smoothstep, value_noise
from imavatar_deploy.training.synthetic.skin_and_hair_colours import mouth_mask
from imavatar_deploy.training.warm_start.head_surface import HeadSurface
from imavatar_deploy.training.warm_start.surface_distance import (
    SPHERE_RADIUS,
    openness,
    query_surface,
)

INSIDE = {
    "brain": (0, 0.2, 0),
    "eyeball": (0.116, 0.045, 0.29),
    "chest": (0, -0.8, -0.15),
    "nose": (0, -0.1, 0.42),
}
OUTSIDE = {
    "in front": (0, 0, 0.7),
    "above": (0, 0.7, 0),
    "below the bust": (0, -1.15, -0.1),
    "aside": (0.6, 0, 0),
}

UPPER_AND_LOWER_LIP = ((0, -0.205, 0.43), (0, -0.239, 0.417))


@pytest.mark.parametrize("place", INSIDE)
def test_inside_is_negative(subject: HeadSurface, place: str) -> None:
    assert query_surface(subject, np.float32([INSIDE[place]])).distance[0] < 0.0


@pytest.mark.parametrize("place", OUTSIDE)
def test_outside_is_positive(subject: HeadSurface, place: str) -> None:
    assert query_surface(subject, np.float32([OUTSIDE[place]])).distance[0] > 0.0


def test_the_mouth_is_open_between_the_lips(subject: HeadSurface, openhead: HeadModel) -> None:
    anchors = HeadSurface.from_head(openhead).rest
    lips = [
        np.argmin(np.linalg.norm(anchors - np.float32(place), axis=1))
        for place in UPPER_AND_LOWER_LIP
    ]
    between = subject.canonical[lips].mean(axis=0, keepdims=True)
    within = subject.canonical[lips] - 0.006 * subject.normals[lips]
    assert query_surface(subject, between).distance[0] > 0.01
    assert query_surface(subject, within).distance.max() < 0.0


def test_surface_points_are_their_own_nearest_points(subject: HeadSurface) -> None:
    outermost = np.argsort(subject.canonical[:, 2])[-50:]
    nearest = query_surface(subject, subject.canonical[outermost])
    corners = subject.canonical[subject.faces[nearest.faces]]
    points = np.einsum("nc,ncd->nd", nearest.barycentric, corners)
    np.testing.assert_allclose(nearest.distance, 0.0, atol=1e-5)
    np.testing.assert_allclose(points, subject.canonical[outermost], atol=1e-5)


def test_distance_off_the_surface_is_the_length_of_the_step(subject: HeadSurface) -> None:
    tip = np.argmax(subject.canonical[:, 2] - np.abs(subject.canonical[:, 0]))
    stepped = subject.canonical[[tip]] + np.float32([[0, 0, 0.05]])
    assert query_surface(subject, stepped).distance[0] == pytest.approx(0.05, abs=0.005)


def test_the_bust_ends_in_the_sphere(subject: HeadSurface) -> None:
    shoulder = np.float32([[0.0, -1.3, -0.1]])
    assert (
        query_surface(subject, shoulder).distance[0]
        >= np.linalg.norm(shoulder) - SPHERE_RADIUS - 1e-6
    )


def test_the_nose_is_in_the_open_and_the_mouth_is_not(
    subject: HeadSurface, openhead: HeadModel
) -> None:
    light = openness(subject)
    mouth = mouth_mask(HeadSurface.from_head(openhead).rest) > 0.99
    assert 0.0 <= light.min() <= light.max() <= 1.0
    assert light[np.argmax(subject.canonical[:, 2])] > 0.95
    assert np.median(light[mouth]) < 0.75


def test_noise_is_smooth_bounded_and_repeats() -> None:
    points = np.random.default_rng(0).normal(0, 20, (2000, 3)).astype(np.float32)
    noise = value_noise(points, seed=4)
    assert np.abs(noise).max() <= 1.0
    assert noise.std() > 0.2
    assert np.abs(value_noise(points + np.float32(1e-3), seed=4) - noise).max() < 0.02
    np.testing.assert_array_equal(
        fractal_noise(points, 3, seed=4), fractal_noise(points, 3, seed=4)
    )


def test_smoothstep_rises_or_falls() -> None:
    x = np.float32([-1, 0, 0.5, 1, 2])
    np.testing.assert_allclose(smoothstep(0.0, 1.0, x), [0, 0, 0.5, 1, 1])
    np.testing.assert_allclose(smoothstep(1.0, 0.0, x), [1, 1, 0.5, 0, 0])
