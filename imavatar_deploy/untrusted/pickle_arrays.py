"""Arrays in pickles: stand-ins for numpy's objects, which decode the numbers on request."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array

from .pickle_reader import Name, StandIn

NUMBER_KINDS = "biuf"
"""Kinds of numpy data types that are plain numbers."""


class ArrayStandIn(StandIn):
    """A stand-in that may hold an array."""

    def array(self) -> Array:
        """Return the array.

        Raises:
            ValueError: the object holds no array, or a damaged one.
        """
        raise ValueError(f"{self.origin} stores no array")


class Unread(ArrayStandIn):
    """Stands in for an object that is no array, such as a path or a tensor of a plain pickle.

    A file may hold any number of them beside its arrays; an error is raised where one is used.
    """

    def __init__(self, origin: str, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.origin = origin

    def __call__(self, *arguments: Any) -> Unread:
        """Return a stand-in for what the file makes by calling this object."""
        return Unread(self.origin, *arguments)


class Latin1(StandIn):
    """Bytes that Python 2 and protocol 2 write as text."""


class Dtype(StandIn):
    """Stand-in for `numpy.dtype`."""

    def resolve(self) -> np.dtype[Any]:
        """Return the numpy data type.

        Raises:
            ValueError: it is not one of plain numbers.
        """
        code = self.arguments[0]
        if not isinstance(code, str):
            raise ValueError("a data type has no code")
        dtype = np.dtype(code)
        if dtype.kind not in NUMBER_KINDS:
            raise ValueError(f"arrays of {dtype} are not supported")
        order: Any = self.state[1] if self.state else "="
        return dtype.newbyteorder("=" if order == "|" else order)


class Ndarray(ArrayStandIn):
    """Stand-in for `numpy.ndarray`."""

    def array(self) -> Array:
        """Return the array."""
        _, shape, dtype, column_major, content = self.state
        return _from_bytes(content, dtype, shape, "F" if column_major else "C")


class FromBuffer(ArrayStandIn):
    """Stand-in for an array that protocol 5 stores as a buffer."""

    def array(self) -> Array:
        """Return the array."""
        return _from_bytes(*self.arguments)


class Scalar(ArrayStandIn):
    """Stand-in for a scalar of numpy."""

    def array(self) -> Array:
        """Return the array, of shape `[]`."""
        dtype, content = self.arguments
        return _from_bytes(content, dtype, ())


def as_array(value: Any) -> Array:
    """Return the array that an object of a pickle stands for.

    Raises:
        ValueError: it is no array, or not one of numbers.
    """
    if isinstance(value, ArrayStandIn):
        return value.array()
    if isinstance(value, np.ndarray) and value.dtype.kind in NUMBER_KINDS:
        return value
    flat = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(item, int | float) for item in flat):
        raise ValueError(f"expected numbers, got {type(value).__name__}")
    return np.asarray(value, dtype=np.float64)


def _from_bytes(content: Any, dtype: Any, shape: Any, order: Any = "C") -> Array:
    if not isinstance(dtype, Dtype):
        raise ValueError("an array has no data type")
    numbers = dtype.resolve()
    text = content.arguments[0] if isinstance(content, Latin1) else content
    raw = text.encode("latin-1") if isinstance(text, str) else text
    if not isinstance(raw, bytes | bytearray):
        raise ValueError(f"an array's content must be bytes, got {type(raw).__name__}")
    return np.frombuffer(raw, numbers).reshape(checked_sizes(shape), order=order)


def checked_sizes(sizes: Any) -> tuple[int, ...]:
    """Return sizes from a file as a tuple of integers.

    Other objects are refused. The product of the sizes would repeat a list or a tuple among them as
    often as another size says, and a short file could fill the memory.

    Raises:
        ValueError: the sizes are not integers.
    """
    if not isinstance(sizes, list | tuple) or not all(type(size) is int for size in sizes):
        raise ValueError("the sizes of an array are not integers")
    return tuple(sizes)


def empty_stand_in(kind: Any, *_arguments: Any) -> Any:
    """Return an empty stand-in, in place of `copyreg._reconstructor` and numpy's `_reconstruct`."""
    if not isinstance(kind, Name):
        raise ValueError("an object has no type")
    return kind.answer()


CONSTRUCTORS: dict[str, Callable[..., Any]] = {
    "numpy.ndarray": Ndarray,
    "numpy.dtype": Dtype,
    "numpy.core.multiarray._reconstruct": empty_stand_in,
    "numpy._core.multiarray._reconstruct": empty_stand_in,
    "numpy.core.multiarray.scalar": Scalar,
    "numpy._core.multiarray.scalar": Scalar,
    "numpy.core.numeric._frombuffer": FromBuffer,
    "numpy._core.numeric._frombuffer": FromBuffer,
    "collections.OrderedDict": lambda *_items: {},
    "collections.defaultdict": lambda *_items: {},
    "_codecs.encode": Latin1,
    # Protocol 2 writes the content of an empty array by these.
    "__builtin__.bytes": lambda *_content: b"",
    "builtins.bytes": lambda *_content: b"",
}
"""Names that a pickle of arrays may refer to -> stand-ins."""

DATA_MODULES = frozenset(
    (
        *("argparse", "array", "collections", "copyreg", "datetime", "decimal", "enum"),
        *("fractions", "pathlib", "uuid"),
    )
)
"""Modules of Python whose objects are data."""

DATA_BUILTINS = frozenset(
    (
        *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list"),
        *("object", "range", "set", "slice", "str", "tuple"),
    )
)
"""Built-in types whose objects are data."""

BUILTINS = ("builtins", "__builtin__")
"""The module of Python's built-in functions, by its names in Python 3 and 2."""


def data_or_stand_in(
    origin: str, constructors: Mapping[str, Callable[..., Any]] | None = None
) -> Callable[..., Any] | None:
    """Return the stand-in of a name in a file of arrays.

    That of an array decodes it. Objects of other packages, and of Python's own types of data, are
    stand-ins without content, so that one which is not needed does not block a file. Functions of
    Python's standard library, such as `os.system`, are not admitted: they have no place beside
    data, although no name is ever called.

    Args:
        origin: the dotted name.
        constructors: stand-ins of arrays by name; `CONSTRUCTORS` by default.
    """
    known = (CONSTRUCTORS if constructors is None else constructors).get(origin)
    if known is not None:
        return known
    module, _, name = origin.partition(".")
    if module in BUILTINS:
        return partial(Unread, origin) if name in DATA_BUILTINS else None
    if module in sys.stdlib_module_names and module not in DATA_MODULES:
        return None
    return partial(Unread, origin)
