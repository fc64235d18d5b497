"""Validation of arrays: what passes, what is refused, and the content of the messages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.checks import as_float32, ensure_finite, ensure_shape
from imavatar_deploy.errors import InputError


def test_shapes_return_their_named_sizes() -> None:
    assert ensure_shape("faces", np.zeros((7, 3)), ("F", 3)) == {"F": 7}
    assert ensure_shape("transforms", np.zeros((2, 4, 4)), ("B", "n", "n")) == {"B": 2, "n": 4}
    assert ensure_shape("nothing", np.zeros(()), ()) == {}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 12), ("B", 15)),
        ((15,), ("B", 15)),
        ((1, 2, 15), ("B", 15)),
        ((4, 5), ("n", "n")),
        ((3,), ()),
    ],
)
def test_a_wrong_shape_is_refused(shape: tuple[int, ...], expected: tuple[int | str, ...]) -> None:
    with pytest.raises(InputError, match="pose must have shape"):
        ensure_shape("pose", np.zeros(shape), expected)


def test_the_sentence_for_a_shape_is_complete() -> None:
    with pytest.raises(InputError) as caught:
        ensure_shape("pose", np.zeros((2, 12)), ("B", 15), "axis-angle of five bones")
    assert (
        str(caught.value) == "pose must have shape [B, 15], got [2, 12]; axis-angle of five bones"
    )


def test_anything_with_a_shape_is_checked() -> None:
    class Tensor:
        shape = (np.int64(3), np.int64(4))

    assert ensure_shape("tensor", Tensor(), (3, "n")) == {"n": 4}


def test_finite_values_pass() -> None:
    ensure_finite("x", np.array([0.0, -1e30, 1e30]))
    ensure_finite("empty", np.zeros((0, 3)))


@pytest.mark.parametrize(
    ("bad", "count", "message"), [(math.nan, 1, "1 such value)"), (math.inf, 2, "2 such values)")]
)
def test_the_first_value_that_is_not_finite_is_named(bad: float, count: int, message: str) -> None:
    values = np.zeros((3, 4))
    values.ravel()[[5, 10][:count]] = bad
    with pytest.raises(
        InputError, match=r"pose must be finite, got (nan|inf) at index \[1, 1\]"
    ) as caught:
        ensure_finite("pose", values)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "values", [[[1, 2], [3, 4]], np.array([[1, 2], [3, 4]], dtype=np.int64).T.T, ((1.0, 2), (3, 4))]
)
def test_numbers_become_contiguous_float32(values: Any) -> None:
    array = as_float32("x", values, ("n", 2))
    assert array.dtype == np.float32
    assert array.flags.c_contiguous
    np.testing.assert_array_equal(array, [[1, 2], [3, 4]])


def test_float32_is_not_copied() -> None:
    array = np.ones(4, dtype=np.float32)
    assert as_float32("x", array, (4,)) is array


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ("wide open", "x must be numbers, got str"),
        ([[1, 2], [3]], "x must be numbers, got list"),
        ([{}, {}], "x must be numbers, got list"),
        ([1.0, 2.0, 3.0], r"x must have shape \[2\], got \[3\]; hint"),
        ([1.0, math.nan], r"x must be finite, got nan at index \[1\]"),
        ([None, 1.0], "x must be finite"),
        (None, "x must be numbers, got None"),
        (np.array([1.0, 2.0j]), "x must be numbers, got complex numbers"),
        ([1e300, 1.0], r"x must be finite, got inf at index \[0\]"),
    ],
)
def test_what_is_no_finite_number_is_refused(values: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        as_float32("x", values, (2,), "hint")
