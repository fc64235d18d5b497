"""Dump: the named arrays of one file or frame, read from NumPy, pickle, PyTorch and JSON files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Shaped
from imavatar_deploy.checks import Dimension, as_float32
from imavatar_deploy.errors import InputError, excerpt
from imavatar_deploy.untrusted import pickle_arrays
from imavatar_deploy.untrusted.npz import array_of, header_of, npz_sizes, read_npz
from imavatar_deploy.untrusted.pickle_arrays import Ndarray, Unread, as_array
from imavatar_deploy.untrusted.pickle_reader import ForeignObjectError, load
from imavatar_deploy.untrusted.torch_archive import read_torch

from .format import ForeignContentError
from .frame_names import frames_of_one, group_note

NESTING_LIMIT = 8
"""Deepest nesting of the lists of a JSON file that become an array."""


@dataclass(frozen=True)
class Dump:
    """Named arrays of a file, or of one frame in a file with several."""

    path: Path
    values: Mapping[str, Any]
    frame: int | str | None = None
    """Number of the frame, from 1, if the file holds a list; its key if it holds a dictionary."""

    @property
    def name(self) -> str:
        """Name of the frame: its number or key, or the name of the file without the suffix."""
        return self.path.stem if self.frame is None else str(self.frame)

    def inside(self, key: str) -> Dump:
        """Return a nested dictionary.

        Raises:
            InputError: `key` is missing or no dictionary.
        """
        if not isinstance(self.values.get(key), dict):
            raise InputError(
                f"{self.path.name} must have {key!r} with values inside; is it of another tracker?"
            )
        return Dump(self.path, self.values[key])

    def only(self, keys: Iterable[str]) -> Dump:
        """Return a dump of some of the arrays, so that the others (images) can be freed.

        Raises:
            InputError: one of them is not a readable array.
        """
        return Dump(
            self.path, {key: self._array(key) for key in keys if key in self.values}, self.frame
        )

    def numbers(self, key: str, *shape: Dimension) -> Float32[Array, "..."]:
        """Return an array of this shape; a leading dimension of 1 (a batch of one) is dropped.

        Raises:
            InputError: the array is missing, of another shape, or not finite.
        """
        array = self._array(key)
        if array.ndim == len(shape) + 1 and len(array) == 1:
            array = array[0]
        return as_float32(f"{key} of {self.path.name}", array, shape)

    def rows(self, key: str, width: Dimension) -> Float32[Array, "T _"]:
        """Return an array as `[T, width]`; an array `[width]` is one frame.

        Raises:
            InputError: the array is missing, of another shape, or not finite.
        """
        array = self._array(key)
        return as_float32(
            f"{key} of {self.path.name}", array[None] if array.ndim == 1 else array, ("T", width)
        )

    def number(self, key: str) -> float:
        """Return a single number in full precision.

        Raises:
            InputError: the number is missing, or there are several.
        """
        array = self._array(key)
        if array.size != 1:
            raise InputError(f"{key} of {self.path.name} must be one number, got {array.size}")
        return float(array.item())

    def rate(self, key: str = "fps") -> float | None:
        """Return frames a second; None where the file does not state them or has no positive one.

        Raises:
            InputError: there are several.
        """
        rate = self.number(key) if key in self.values else 0.0
        return rate if 0 < rate < float("inf") else None

    def words(self, key: str) -> tuple[str, ...]:
        """Return an array of strings or integers as strings; empty if missing or of another type.

        Raises:
            InputError: the array is damaged.
        """
        array = self._member(key) if key in self.values else None
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "Uiu":
            return ()
        return tuple(map(str, array.ravel().tolist()))

    def _array(self, key: str) -> Shaped[Array, "..."]:
        if key not in self.values:
            raise InputError(f"{self.path.name} lacks {key!r}; it holds {names_of(self.values)}")
        member = self._member(key)
        if isinstance(member, Unread) and member.origin.startswith("torch."):
            raise InputError(
                f"{key} of {self.path.name} is a pickled tensor, which only torch could give back: "
                "save it with torch.save, or turn it into an array first, tensor.cpu().numpy()"
            )
        try:
            return as_array(member)
        except InputError:
            raise
        except Exception as error:  # the file may hold any object in place of an array
            raise InputError(
                f"{key} of {self.path.name} is not a readable array ({excerpt(error)}); save it "
                "again"
            ) from error

    def _member(self, key: str) -> Any:
        try:
            return self.values[key]
        except ValueError as error:
            raise InputError(
                f"{key} of {self.path.name} is not a readable array ({excerpt(error)}); save it "
                "again"
            ) from error


def names_of(values: Iterable[object]) -> str:
    """Return the sorted names of arrays, shortened, for a message."""
    return excerpt(", ".join(sorted(map(str, values))) or "nothing")


def column(sources: Sequence[Dump], key: str, width: Dimension) -> Float32[Array, "T _"]:
    """Concatenate one array of all dumps to `[T, width]`.

    Raises:
        InputError: a dump lacks the array, or the widths differ.
    """
    rows = [dump.rows(key, width) for dump in sources]
    for dump, part in zip(sources, rows, strict=True):
        if part.shape[1] != rows[0].shape[1]:
            raise InputError(
                f"{key} of {dump.path.name} has {part.shape[1]} values, "
                f"{sources[0].path.name} {rows[0].shape[1]}"
            )
    return np.concatenate(rows)


def columns(sources: Sequence[Dump], widths: Mapping[str, int]) -> Float32[Array, "T _"]:
    """Concatenate several arrays of all dumps to `[T, sum of widths]`.

    Raises:
        InputError: a dump lacks an array, or the shapes or lengths differ.
    """
    parts = {key: column(sources, key, width) for key, width in widths.items()}
    count = len(next(iter(parts.values())))
    for key, part in parts.items():
        if len(part) != count:
            raise InputError(
                f"{key} has {len(part)} frames and {next(iter(parts))} {count}: "
                "every array needs all"
            )
    return np.concatenate(list(parts.values()), axis=1)


# Files and folders


def dumps(path: Path, suffixes: Iterable[str]) -> Iterator[Dump]:
    """Read a file, or the files of a folder in natural order: 1, 2, 10.

    Of a folder with several people or cameras, those of the first are read.

    Raises:
        InputError: a file cannot be read, is damaged, or holds other objects than arrays.
        ForeignContentError: the folder has no file with these suffixes.
    """
    files = [path] if path.is_file() else of_one(files_of(path, suffixes))
    if not files:
        raise ForeignContentError
    return (dump for file in files for dump in _read(file))


def files_of(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """Return the files of a folder with these suffixes, without hidden files, in natural order."""
    paths = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".")
    ]
    return sorted((path for path in paths if path.is_file()), key=natural)


def folders_of(folder: Path) -> list[Path]:
    """Return the subfolders of a folder, without hidden ones, in natural order."""
    return sorted(
        (path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._"),
        key=natural,
    )


def of_one(paths: Sequence[Path]) -> list[Path]:
    """Return the paths of one person or camera, see `frames_of_one`."""
    return [paths[index] for index in frames_of_one([path.stem for path in paths])]


def left_out_note(place: Path, suffixes: Iterable[str]) -> list[str]:
    """Return a note on the people or cameras of a folder that are not read."""
    if place.is_file():
        return []
    return group_note([path.stem for path in files_of(place, suffixes) or folders_of(place)])


def plain_array(path: Path) -> Shaped[Array, "..."]:
    """Read the array of a `.npy` file.

    Raises:
        InputError: the file is damaged, or holds objects.
    """
    try:
        return array_of(path.read_bytes())
    except ValueError as error:
        raise InputError(
            f"{path.parent.name}/{path.name} cannot be read ({error}); write it again"
        ) from error


def natural(path: Path) -> list[tuple[int, int, str]]:
    """Return a sort key of a path for natural order: 2 before 10."""
    return natural_text(path.name)


def natural_text(text: str) -> list[tuple[int, int, str]]:
    """Return a sort key of a name for natural order: 2 before 10."""
    parts = re.findall(r"(\d{1,18})|(\D+)", text)
    return [(0, int(digits), "") if digits else (1, 0, text) for digits, text in parts]


def content_of(path: Path) -> Any:
    """Return the content of a file: mostly a dictionary of arrays, or several of them.

    Raises:
        InputError: the file is damaged, or holds an object that runs commands.
    """
    try:
        return READERS[path.suffix.lower()](path)
    except ForeignObjectError as error:
        raise InputError(
            f"{path.name} holds {excerpt(error.origin)}, which has no place in a track; nothing of "
            "it was run, but do not trust this file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path.name} cannot be read ({excerpt(error)}); is the file cut short, or of another "
            "kind?"
        ) from error


def _read(path: Path) -> list[Dump]:
    content = content_of(path)
    if isinstance(content, Mapping):
        if _holds_frames(content):
            names = sorted(map(str, content), key=natural_text)
            frames = {str(key): frame for key, frame in content.items()}
            kept = [names[index] for index in frames_of_one(names)]
            return [Dump(path, frames[name], name) for name in kept]
        return [Dump(path, content)]
    if (
        not isinstance(content, list)
        or not content
        or not all(isinstance(item, Mapping) for item in content)
    ):
        raise ForeignContentError
    return [Dump(path, item, index + 1) for index, item in enumerate(content)]


def _holds_frames(content: Mapping[Any, Any]) -> bool:
    """Whether a dictionary has a dictionary for each frame, by its number or name."""
    return (
        isinstance(content, dict)
        and len(content) > 0
        and all(re.search(r"\d", str(key)) for key in content)
        and all(isinstance(value, dict) for value in content.values())
    )


class _Npz(Mapping[str, Any]):
    """A `.npz` file whose arrays are unpacked on access."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys = npz_sizes(path)

    def __getitem__(self, key: str) -> Any:
        return read_npz(self._path, [key])[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys


def _pickle(path: Path) -> Any:
    return load(path.read_bytes(), pickle_arrays.data_or_stand_in)


def _json(path: Path) -> Any:
    """Read JSON; lists of numbers become arrays."""
    return _with_arrays(json.loads(path.read_text(encoding="utf-8")), 0)


def _with_arrays(value: Any, depth: int) -> Any:
    if isinstance(value, dict) and depth < NESTING_LIMIT:
        return {key: _with_arrays(part, depth + 1) for key, part in value.items()}
    if not isinstance(value, list) or not value:
        return value
    if isinstance(value[0], dict):
        return [_with_arrays(part, depth + 1) for part in value]
    try:
        array = np.array(value)
    except ValueError:  # lists of different lengths
        return value
    return array if array.dtype.kind in pickle_arrays.NUMBER_KINDS else value


def _npy(path: Path) -> Any:
    """Read a dictionary that `numpy.save` pickled, or a plain array under an empty name."""
    content = path.read_bytes()
    _, _, dtype, body = header_of(content)
    if not dtype.hasobject:
        return {"": array_of(content)}
    stored = load(bytes(body), pickle_arrays.data_or_stand_in)
    items = (
        stored.state[4] if isinstance(stored, Ndarray) and isinstance(stored.state, tuple) else None
    )
    if not isinstance(items, list) or len(items) != 1:
        raise ValueError("expected a single dictionary")
    return items[0]


READERS: dict[str, Callable[[Path], Any]] = {
    ".frame": read_torch,
    ".pt": read_torch,
    ".pth": read_torch,
    ".npz": _Npz,
    ".npy": _npy,
    ".pkl": _pickle,
    ".pickle": _pickle,
    ".json": _json,
}
"""Readers by suffix."""
