"""Array types whose annotations state element type and shape: `Float32[Array, "V 3"]`.

The names are those of jaxtyping (https://docs.kidger.site/jaxtyping). A letter is the size of an
axis, the same in every argument and in the result of one function; `...` is any number of axes,
`_` an axis of any size. A single letter is written with a leading space, `Float32[Array, " V"]`, so
that linters do not take it for a forward reference. The letters are those of
`imavatar_deploy.conventions`.

Annotations cost nothing at run time. The tests check every call against them.

`read_only` makes arrays that a cache hands out immutable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, Int32, Int64, Integer, Shaped, UInt8
from numpy.typing import NDArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    Array = np.ndarray

__all__ = [
    "Array",
    "Bool",
    "Float",
    "Float32",
    "Float64",
    "Int",
    "Int32",
    "Int64",
    "Integer",
    "Shaped",
    "UInt8",
]


T = TypeVar("T")


def arrays_in(value: object) -> Iterator[NDArray[Any]]:
    """Yield every array in a value: the value itself, or those in nested containers.

    Containers are dataclasses, mappings, lists and tuples.
    """
    if isinstance(value, np.ndarray):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from arrays_in(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from arrays_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from arrays_in(item)


def read_only(value: T) -> T:
    """Make every array in a value read-only, in place, and return the value.

    Use it on what a cache stores, so that no caller can change what the next one gets.
    `torch.from_numpy` warns about a read-only array; `torch.tensor` copies it.
    """
    for array in arrays_in(value):
        array.flags.writeable = False
    return value
