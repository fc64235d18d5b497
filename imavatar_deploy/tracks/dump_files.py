"""Where dumps come from: `.npz`, `.npy`, pickles and torch's files, alone or a folder of them in natural order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from imavatar_deploy import inert_arrays
from imavatar_deploy.errors import InputError
from imavatar_deploy.inert_arrays import Ndarray
from imavatar_deploy.inert_pickle import ForeignObjectError, load
from imavatar_deploy.plain_npz import array_of, header_of, npz_sizes, read_npz
from imavatar_deploy.tracks.dump import Dump
from imavatar_deploy.tracks.format import ForeignContentError
from imavatar_deploy.tracks.torch_archive import read_torch


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
    found = [path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith(".")]
    return sorted((path for path in found if path.is_file()), key=natural)


def folders_of(folder: Path) -> list[Path]:
    """The folders in a folder, hidden ones left out, in natural order."""
    return sorted((path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._"), key=natural)


def plain_array(path: Path) -> NDArray[Any]:
    """The array in a `.npy`.

    Raises:
        InputError: it is damaged, or holds objects.
    """
    try:
        return array_of(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path.parent.name}/{path.name} cannot be read ({error}); write it again") from error


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
        raise InputError(f"{path.name} cannot be read ({error}); is the file cut short, or of another kind?") from error
    if isinstance(content, Mapping):
        return [Dump(path, content)]
    if not isinstance(content, list) or not content or not all(isinstance(item, Mapping) for item in content):
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
    return load(path.read_bytes(), inert_arrays.ADMITTED.get)


def _npy(path: Path) -> Any:
    """A dictionary that `numpy.save` pickled, or a plain array, by no name."""
    content = path.read_bytes()
    _, _, dtype, body = header_of(content)
    if not dtype.hasobject:
        return {"": array_of(content)}
    stored = load(bytes(body), inert_arrays.ADMITTED.get)
    held = stored.state[4] if isinstance(stored, Ndarray) and isinstance(stored.state, tuple) else None
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
