"""Arrays out of pickles: stand-ins for numpy's own objects, and the numbers in them when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .pickle_reader import Name, StandIn

Array = NDArray[Any]

NUMBERS = "biuf"
"""Kinds of numpy data types that are plain numbers."""


class ArrayStandIn(StandIn):
    """A stand-in that may hold an array."""

    def array(self) -> Array:
        """The numbers inside.

        Raises:
            ValueError: there are none.
        """
        raise ValueError(f"{self.origin} stores no array")


class Latin1(StandIn):
    """Bytes that Python 2's pickles and protocol 2 write as text."""


class Dtype(StandIn):
    """`numpy.dtype`."""

    def resolve(self) -> np.dtype[Any]:
        """The real one.

        Raises:
            ValueError: it is not of plain numbers.
        """
        code = self.arguments[0]
        if not isinstance(code, str):
            raise ValueError("a data type without its code")
        dtype = np.dtype(code)
        if dtype.kind not in NUMBERS:
            raise ValueError(f"arrays of {dtype} have no place here")
        order: Any = self.state[1] if self.state else "="
        return dtype.newbyteorder("=" if order == "|" else order)


class Ndarray(ArrayStandIn):
    """`numpy.ndarray`."""

    def array(self) -> Array:
        """See `Stored`."""
        _, shape, dtype, column_major, content = self.state
        return _from_bytes(content, dtype, shape, "F" if column_major else "C")


class FromBuffer(ArrayStandIn):
    """An array written out of band of its making: protocol 5."""

    def array(self) -> Array:
        """See `Stored`."""
        return _from_bytes(*self.arguments)


class Scalar(ArrayStandIn):
    """One number of numpy's."""

    def array(self) -> Array:
        """See `Stored`."""
        dtype, content = self.arguments
        return _from_bytes(content, dtype, ())


def as_array(value: Any) -> Array:
    """The array that a value of the file stands for.

    Raises:
        ValueError: it is none, or not of numbers.
    """
    if isinstance(value, ArrayStandIn):
        return value.array()
    if isinstance(value, np.ndarray) and value.dtype.kind in NUMBERS:
        return value
    flat = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(item, int | float) for item in flat):
        raise ValueError(f"expected numbers, got {type(value).__name__}")
    return np.asarray(value, dtype=np.float64)


def _from_bytes(content: Any, dtype: Any, shape: Any, order: Any = "C") -> Array:
    if not isinstance(dtype, Dtype):
        raise ValueError("an array without a data type")
    numbers = dtype.resolve()
    text = content.arguments[0] if isinstance(content, Latin1) else content
    raw = text.encode("latin-1") if isinstance(text, str) else text
    if not isinstance(raw, bytes | bytearray):
        raise ValueError(f"an array's content must be bytes, got {type(raw).__name__}")
    return np.frombuffer(raw, numbers).reshape(whole(shape), order=order)


def whole(sizes: Any) -> tuple[int, ...]:
    """Sizes as the file gives them, if they are numbers: Python would repeat a tuple as many times as it is told.

    Raises:
        ValueError: they are not.
    """
    if not isinstance(sizes, list | tuple) or not all(type(size) is int for size in sizes):
        raise ValueError("sizes that are no numbers")
    return tuple(sizes)


def made(kind: Any, *_arguments: Any) -> Any:
    """What `copyreg._reconstructor` and numpy's `_reconstruct` make: an empty one of a kind."""
    if not isinstance(kind, Name):
        raise ValueError("an object of no kind")
    return kind.answer()


ADMITTED: dict[str, Callable[..., Any]] = {
    "numpy.ndarray": Ndarray,
    "numpy.dtype": Dtype,
    "numpy.core.multiarray._reconstruct": made,
    "numpy._core.multiarray._reconstruct": made,
    "numpy.core.multiarray.scalar": Scalar,
    "numpy._core.multiarray.scalar": Scalar,
    "numpy.core.numeric._frombuffer": FromBuffer,
    "numpy._core.numeric._frombuffer": FromBuffer,
    "collections.OrderedDict": lambda *_items: {},
    "_codecs.encode": Latin1,
    "__builtin__.bytes": lambda *_content: (
        b""
    ),  # how protocol 2 writes the content of an empty array
    "builtins.bytes": lambda *_content: b"",
}
"""What a pickle of arrays may name, and what answers instead."""
