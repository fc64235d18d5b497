"""Read-only arrays: what a cache hands out, so that no caller can change what the next one gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


def arrays_in(value: object) -> Iterator[NDArray[Any]]:
    """Every array in a value: the value itself, or in dataclasses, sequences and mappings in it."""
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

    For use where a cache stores it. `torch.from_numpy` warns of such an array; `torch.tensor`
    copies it.
    """
    for array in arrays_in(value):
        array.flags.writeable = False
    return value
