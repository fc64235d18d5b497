"""Validation of input arrays: shapes, finite values and conversion to float32.

Each check raises an InputError of one sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.errors import InputError, excerpt

Dimension = int | str
"""A fixed size, or the name of a free size, as in `("V", 3)`."""


def ensure_shape(
    name: str, array: Any, expected: Sequence[Dimension], hint: str = ""
) -> dict[str, int]:
    """Check `array.shape` against `expected` and return the sizes of the named dimensions.

    A name that occurs twice must have the same size both times. `array` may be anything with a
    `.shape`, such as a numpy array or a torch tensor.

    Args:
        name: the array's name in the error message.
        hint: appended to the error message.

    Raises:
        InputError: the shape differs: `"{name} must have shape [B, 15], got [2, 12]"`.
    """
    actual = tuple(int(size) for size in array.shape)
    sizes: dict[str, int] = {}
    fits = len(actual) == len(expected) and all(
        size == (required if isinstance(required, int) else sizes.setdefault(required, size))
        for size, required in zip(actual, expected, strict=True)
    )
    if not fits:
        raise InputError(
            f"{name} must have shape [{', '.join(map(str, expected))}], "
            f"got [{', '.join(map(str, actual))}]" + (f"; {hint}" if hint else "")
        )
    return sizes


def ensure_finite(name: str, array: NDArray[Any]) -> None:
    """Check that `array` holds no NaN and no infinity.

    Raises:
        InputError: it does; the message gives the first value, its index and the number of values.
    """
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise InputError(
            f"{name} must be finite, got {array[tuple(bad[0])]} at index {bad[0].tolist()} "
            f"({len(bad)} such value{'s' if len(bad) > 1 else ''}); repair or drop these values"
        )


def as_float32(
    name: str, values: Any, expected: Sequence[Dimension], hint: str = ""
) -> Float32[Array, "..."]:
    """Convert `values` to a C-contiguous float32 array and check its shape and that it is finite.

    Raises:
        InputError: the values are not numbers, have another shape, or are not finite in float32.
    """
    is_complex = getattr(getattr(values, "dtype", None), "kind", "") == "c"  # numpy only warns
    if values is None or is_complex:
        content = "None" if values is None else "complex numbers"
        raise InputError(f"{name} must be numbers, got {content}")
    try:
        # A value too large for float32 becomes infinite, which `ensure_finite` refuses.
        with np.errstate(over="ignore", invalid="ignore"):
            array = np.ascontiguousarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} must be numbers, got {type(values).__name__} ({excerpt(error)})"
        ) from error
    ensure_shape(name, array, expected, hint)
    ensure_finite(name, array)
    return array
