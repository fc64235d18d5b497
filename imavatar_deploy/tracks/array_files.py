"""Dump: the named arrays of one file, whatever holds them; what trackers' readers ask of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.checks import Dimension, as_float32
from imavatar_deploy.errors import InputError
from imavatar_deploy.untrusted import pickle_arrays
from imavatar_deploy.untrusted.npz import array_of, header_of, npz_sizes, read_npz
from imavatar_deploy.untrusted.pickle_arrays import Ndarray, as_array
from imavatar_deploy.untrusted.pickle_reader import ForeignObjectError, load
from imavatar_deploy.untrusted.torch_archive import read_torch

from .format import ForeignContentError

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
            raise InputError(
                f"{self.path.name} must have {key!r} with values inside; is it of another tracker?"
            )
        return Dump(self.path, self.values[key])

    def only(self, keys: Iterable[str]) -> Dump:
        """These of its arrays, so that the others (pictures, perhaps) need not be kept.

        Raises:
            InputError: one of them is not a readable array.
        """
        return Dump(
            self.path, {key: self._stored(key) for key in keys if key in self.values}, self.frame
        )

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
        return as_float32(
            f"{key} of {self.path.name}", array[None] if array.ndim == 1 else array, ("T", width)
        )

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
            raise InputError(
                f"{key} of {self.path.name} is not a readable array ({error}); save it again"
            ) from error

    def _member(self, key: str) -> Any:
        try:
            return self.values[key]
        except ValueError as error:
            raise InputError(
                f"{key} of {self.path.name} is not a readable array ({error}); save it again"
            ) from error


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
            raise InputError(
                f"{key} has {len(part)} frames and {next(iter(parts))} {count}: every array needs all"
            )
    return np.concatenate(list(parts.values()), axis=1)


# Where dumps come from: `.npz`, `.npy`, pickles and torch's files, alone or a folder of them in natural order.


def dumps(path: Path, suffixes: Iterable[str]) -> Iterator[Dump]:
    """A file as a dump, or the dumps of every file of a folder, in natural order: 1, 2, 10.

    Raises:
        InputError: one of them cannot be read, is damaged or holds what is no array.
        ForeignContentError: the folder has no such file.
    """
    files = [path] if path.is_file() else files_of(path, suffixes)
    if not files:
        raise ForeignContentError
    return (dump for file in files for dump in _read(file))


def files_of(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """The files of a folder with one of the suffixes, hidden ones left out, in natural order."""
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".")
    ]
    return sorted((path for path in found if path.is_file()), key=natural)


def folders_of(folder: Path) -> list[Path]:
    """The folders in a folder, hidden ones left out, in natural order."""
    return sorted(
        (path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._"),
        key=natural,
    )


def plain_array(path: Path) -> NDArray[Any]:
    """The array in a `.npy`.

    Raises:
        InputError: it is damaged, or holds objects.
    """
    try:
        return array_of(path.read_bytes())
    except ValueError as error:
        raise InputError(
            f"{path.parent.name}/{path.name} cannot be read ({error}); write it again"
        ) from error


def natural(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts 2 before 10."""
    parts = re.findall(r"(\d+)|(\D+)", path.name)
    return [(0, int(digits), "") if digits else (1, 0, text) for digits, text in parts]


def _read(path: Path) -> list[Dump]:
    try:
        content = READERS[path.suffix.lower()](path)
    except ForeignObjectError as error:
        if error.origin.startswith("torch."):
            raise InputError(
                f"{path.name} pickles tensors, which only torch could give back: save it with torch.save, or turn them "
                "into arrays first, tensor.cpu().numpy()"
            ) from error
        raise InputError(
            f"{path.name} holds {error.origin}, which has no place in a track; nothing of it was run, but do not "
            "trust this file"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{path.name} cannot be read ({error}); is the file cut short, or of another kind?"
        ) from error
    if isinstance(content, Mapping):
        return [Dump(path, content)]
    if (
        not isinstance(content, list)
        or not content
        or not all(isinstance(item, Mapping) for item in content)
    ):
        raise ForeignContentError
    return [Dump(path, item, index + 1) for index, item in enumerate(content)]


class _Npz(Mapping[str, Any]):
    """A `.npz` of which only the arrays that are asked for are unpacked."""

    def __init__(self, path: Path) -> None:
        self._path, self._keys = path, npz_sizes(path)

    def __getitem__(self, key: str) -> Any:
        return read_npz(self._path, [key])[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys


def _pickle(path: Path) -> Any:
    return load(path.read_bytes(), pickle_arrays.ADMITTED.get)


def _npy(path: Path) -> Any:
    """A dictionary that `numpy.save` pickled, or a plain array, by no name."""
    content = path.read_bytes()
    _, _, dtype, body = header_of(content)
    if not dtype.hasobject:
        return {"": array_of(content)}
    stored = load(bytes(body), pickle_arrays.ADMITTED.get)
    held = (
        stored.state[4] if isinstance(stored, Ndarray) and isinstance(stored.state, tuple) else None
    )
    if not isinstance(held, list) or len(held) != 1:
        raise ValueError("expected a single dictionary")
    return held[0]


READERS: dict[str, Callable[[Path], Any]] = {
    ".frame": read_torch,
    ".pt": read_torch,
    ".pth": read_torch,
    ".npz": _Npz,
    ".npy": _npy,
    ".pkl": _pickle,
    ".pickle": _pickle,
}
"""What reads each kind of file."""
