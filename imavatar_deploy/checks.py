"""Checks at the borders: shapes, finite values and names, each failing with one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError

Dimension = int | str
"""A fixed size, or the name of a free one: `("V", 3)`."""


def ensure_shape(
    name: str, array: Any, expected: Sequence[Dimension], hint: str = ""
) -> dict[str, int]:
    """Check `array.shape` against `expected` and return the sizes of the named dimensions.

    A name that occurs twice must have one size. Works on anything with a `.shape` (numpy, torch).

    Raises:
        InputError: `"{name} must have shape [B, 15], got [2, 12]"`, followed by `hint`.
    """
    actual = tuple(int(size) for size in array.shape)
    sizes: dict[str, int] = {}
    fits = len(actual) == len(expected) and all(
        size == (want if isinstance(want, int) else sizes.setdefault(want, size))
        for size, want in zip(actual, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join(str(want) for want in expected)
        raise InputError(
            f"{name} must have shape [{wanted}], got [{', '.join(map(str, actual))}]"
            + (f"; {hint}" if hint else "")
        )
    return sizes


def ensure_finite(name: str, array: NDArray[Any]) -> None:
    """Raise InputError when `array` holds a NaN or an infinity, naming the first place."""
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise InputError(
            f"{name} must be finite, got {array[tuple(bad[0])]} at index {bad[0].tolist()} "
            f"({len(bad)} such value{'s' if len(bad) > 1 else ''}); repair or drop these values"
        )


def as_float32(
    name: str, values: Any, expected: Sequence[Dimension], hint: str = ""
) -> NDArray[np.float32]:
    """Turn `values` into a C-contiguous float32 array of the expected shape without NaN or infinity.

    Raises:
        InputError: the values are not numbers, have another shape, or are not finite.
    """
    try:
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # too large for float32 becomes infinite, refused as that
            array = np.ascontiguousarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} must be numbers, got {type(values).__name__} ({error})"
        ) from error
    ensure_shape(name, array, expected, hint)
    ensure_finite(name, array)
    return array
