"""The check of array annotations is on while the tests run, and refuses arrays that do not fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from imavatar_deploy.arrays import Array, Float32, Int32
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.rendering.cpu_renderer import FrameBuffers, SurfacePoser
from imavatar_deploy.rendering.workers import Workers

from .array_checks import ArrayTypeError, checked, checked_fields

POINTS = np.zeros((4, 3), dtype=np.float32)
WEIGHTS = np.ones(4, dtype=np.float32)


def scaled(
    points: Float32[Array, "N 3"], weights: Float32[Array, " N"] | None = None
) -> Float32[Array, "N 3"]:
    return points if weights is None else points * weights[:, None]


def narrowed(
    points: Float32[Array, "N 3"],
) -> tuple[Float32[Array, " N"], Int32[Array, " N"] | None]:
    return points[:, 0], np.arange(3, dtype=np.int32)


def test_accepts_what_is_annotated() -> None:
    call = checked(scaled)
    assert call is not None
    assert call(POINTS, WEIGHTS).shape == (4, 3)
    assert call(POINTS, weights=None).shape == (4, 3)


@pytest.mark.parametrize(
    ("points", "weights", "name"),
    [
        (POINTS[:, :2], WEIGHTS, "points is float32[4, 2]"),
        (POINTS.astype(np.float64), WEIGHTS, "points is float64[4, 3]"),
        (POINTS, WEIGHTS[:3], "weights is float32[3]"),
        (POINTS, "a word", "weights is 'a word'"),
    ],
)
def test_refuses_an_argument_that_does_not_fit(points: object, weights: object, name: str) -> None:
    call = checked(scaled)
    assert call is not None
    with pytest.raises(ArrayTypeError, match=name.replace("[", r"\[")):
        call(points, weights)


def test_refuses_a_result_that_does_not_fit() -> None:
    call = checked(narrowed)
    assert call is not None
    with pytest.raises(ArrayTypeError, match="narrowed: return is"):
        call(POINTS)


@dataclass
class Converted:
    points: Float32[Array, "N 3"]
    weights: Float32[Array, " N"]

    def __post_init__(self) -> None:
        if len(self.points) == 0:
            raise ValueError("no points")
        self.points = np.asarray(self.points, dtype=np.float32)


def test_fields_are_checked_after_the_dataclass_validated_them() -> None:
    construct = checked_fields(Converted.__init__, globals())
    assert construct is not None
    empty = object.__new__(Converted)
    construct(empty, POINTS.tolist(), WEIGHTS)
    with pytest.raises(ValueError, match="no points"):
        construct(empty, [], WEIGHTS)
    with pytest.raises(ArrayTypeError, match=r"weights is float32\[3\]"):
        construct(empty, POINTS, WEIGHTS[:3])


def test_functions_without_array_types_stay_as_they_are() -> None:
    assert checked(test_refuses_a_result_that_does_not_fit) is None


def test_the_package_is_checked(avatar: Avatar) -> None:
    with Workers(1) as workers, pytest.raises(ArrayTypeError, match="expression is float32"):
        SurfacePoser(avatar, workers)(
            np.zeros((2, 50), dtype=np.float32), np.zeros(15, dtype=np.float32)
        )
    with pytest.raises(ArrayTypeError, match="mask is float32"):
        FrameBuffers(
            np.zeros((2, 2, 3), np.float32),
            np.zeros((2, 2, 3), np.float32),
            np.zeros((2, 2), np.float32),
        )  # type: ignore[arg-type]
