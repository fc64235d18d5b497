"""Dump: the named arrays of one file, whatever holds them; what trackers' readers ask of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.checks import Dimension, as_float32
from imavatar_deploy.errors import InputError
from imavatar_deploy.inert_arrays import as_array

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Dump:
    """The named arrays of one file, or of one frame of several in a file."""

    path: Path
    values: Mapping[str, Any]
    frame: int | None = None
    """Counted from 1 where the file holds a list."""

    @property
    def name(self) -> str:
        """What the frame is called where there is one: its number, or the file's name without its suffix."""
        return self.path.stem if self.frame is None else str(self.frame)

    def inside(self, key: str) -> Dump:
        """The dictionary inside a dictionary.

        Raises:
            InputError: there is none.
        """
        if not isinstance(self.values.get(key), dict):
            raise InputError(f"{self.path.name} must have {key!r} with values inside; is it of another tracker?")
        return Dump(self.path, self.values[key])

    def only(self, keys: Iterable[str]) -> Dump:
        """These of its arrays, so that the others (pictures, perhaps) need not be kept.

        Raises:
            InputError: one of them is not a readable array.
        """
        return Dump(self.path, {key: self._stored(key) for key in keys if key in self.values}, self.frame)

    def numbers(self, key: str, *shape: Dimension) -> Float:
        """One array; a leading dimension of 1 that `shape` has not is dropped, as trackers save batches of one.

        Raises:
            InputError: it is missing, of another shape, or not finite.
        """
        array = self._stored(key)
        if array.ndim == len(shape) + 1 and len(array) == 1:
            array = array[0]
        return as_float32(f"{key} of {self.path.name}", array, shape)

    def rows(self, key: str, width: Dimension) -> Float:
        """[T, width] of one array, which may lack T where there is one frame.

        Raises:
            InputError: it is missing, of another shape, or not finite.
        """
        array = self._stored(key)
        return as_float32(f"{key} of {self.path.name}", array[None] if array.ndim == 1 else array, ("T", width))

    def number(self, key: str) -> float:
        """One number, to its last digit.

        Raises:
            InputError: it is missing, or several.
        """
        array = self._stored(key)
        if array.size != 1:
            raise InputError(f"{key} of {self.path.name} must be one number, got {array.size}")
        return float(array.item())

    def words(self, key: str) -> tuple[str, ...]:
        """An array of words or whole numbers, of any shape, as words; none where it is missing or of another kind.

        Raises:
            InputError: it is damaged.
        """
        array = self._member(key) if key in self.values else None
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "Uiu":
            return ()
        return tuple(map(str, array.ravel().tolist()))

    def _stored(self, key: str) -> NDArray[Any]:
        if key not in self.values:
            held = ", ".join(sorted(map(str, self.values)))
            raise InputError(f"{self.path.name} lacks {key!r}; it holds {held:.120}")
        try:
            return as_array(self._member(key))
        except InputError:
            raise
        except Exception as error:  # what a file holds in place of an array may be anything
            raise InputError(f"{key} of {self.path.name} is not a readable array ({error}); save it again") from error

    def _member(self, key: str) -> Any:
        try:
            return self.values[key]
        except ValueError as error:
            raise InputError(f"{key} of {self.path.name} is not a readable array ({error}); save it again") from error


def column(found: Sequence[Dump], key: str, width: Dimension) -> Float:
    """[T, width] of one array over all files.

    Raises:
        InputError: it is missing somewhere, or of different widths.
    """
    rows = [dump.rows(key, width) for dump in found]
    for dump, part in zip(found, rows, strict=True):
        if part.shape[1] != rows[0].shape[1]:
            raise InputError(
                f"{key} of {dump.path.name} has {part.shape[1]} values, {found[0].path.name} {rows[0].shape[1]}"
            )
    return np.concatenate(rows)


def columns(found: Sequence[Dump], widths: Mapping[str, int]) -> Float:
    """[T, sum of widths] of several arrays side by side, over all files.

    Raises:
        InputError: one is missing somewhere, or of another shape or length than the first.
    """
    parts = {key: column(found, key, width) for key, width in widths.items()}
    count = len(next(iter(parts.values())))
    for key, part in parts.items():
        if len(part) != count:
            raise InputError(f"{key} has {len(part)} frames and {next(iter(parts))} {count}: every array needs all")
    return np.concatenate(list(parts.values()), axis=1)
