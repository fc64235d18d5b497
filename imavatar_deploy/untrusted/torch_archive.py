"""Read files of `torch.save` without torch: tensors and arrays as data, without running code.

The file is a zip archive. Its `data.pkl` refers to the entries `data/N`, the raw numbers of each
storage. The entries are not compressed, so that none unpacks to more than the file holds.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array
from imavatar_deploy.errors import InputError

from . import pickle_arrays
from .npz import BoundedFile
from .pickle_arrays import ArrayStandIn, checked_sizes
from .pickle_reader import Name, StandIn, load

OLD_FORMAT = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of a file of torch before 1.6."""

STORAGES = {
    "torch.DoubleStorage": "f8",
    "torch.FloatStorage": "f4",
    "torch.HalfStorage": "f2",
    "torch.LongStorage": "i8",
    "torch.IntStorage": "i4",
    "torch.ShortStorage": "i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
}
"""Type of a storage -> code of its numpy data type."""


class _Tensor(ArrayStandIn):
    """Stand-in for `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...)`."""

    origin = "a tensor"

    def array(self) -> Array:
        storage, *place = self.arguments[:4]
        (offset,) = checked_sizes(place[:1])
        size = checked_sizes(place[1])
        stride = checked_sizes(place[2])
        numbers = storage.array()
        reach = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
        if (
            offset < 0
            or min((*size, *stride, 1)) < 0
            or prod(size) > len(numbers)
            or reach >= len(numbers)
        ):
            raise ValueError(f"a tensor of {size} reaches beyond its {len(numbers)} numbers")
        steps = [step * numbers.itemsize for step in stride]
        return np.lib.stride_tricks.as_strided(numbers[offset:], size, steps).copy()


class _Storage:
    def __init__(self, archive: _Archive, kind: Any, key: Any) -> None:
        self._archive = archive
        self._kind = kind
        self._key = key

    def array(self) -> Array:
        if not isinstance(self._kind, Name) or self._kind.origin not in STORAGES:
            raise ValueError("a tensor's element type does not exist in numpy")
        dtype = np.dtype(STORAGES[self._kind.origin]).newbyteorder(self._archive.order)
        return np.frombuffer(self._archive.member(f"data/{self._key}"), dtype)


class _Archive:
    def __init__(self, path: Path) -> None:
        with BoundedFile(path) as file, zipfile.ZipFile(file) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            roots = [
                name.removesuffix("data.pkl")
                for name in entries
                if name.rpartition("/")[2] == "data.pkl"
            ]
            if len(roots) != 1:
                raise ValueError("it is a zip file, but not of torch")
            names = [name for name in entries if name.startswith(roots[0])]
            if any(entries[name].compress_type != zipfile.ZIP_STORED for name in names):
                raise ValueError("its entries are compressed, which torch never does")
            if sum(entries[name].file_size for name in names) > path.stat().st_size:
                raise ValueError("its entries are larger than the file")
            self._members = {
                name.removeprefix(roots[0]): archive.read(entries[name]) for name in names
            }
        self.order: Any = ">" if self._members.get("byteorder") == b"big" else "<"

    def member(self, name: str) -> bytes:
        if name not in self._members:
            raise ValueError(f"it lacks {name}")
        return self._members[name]

    def storage(self, reference: Any) -> _Storage:
        """Return the storage of a persistent id `("storage", kind, key, device, count)`."""
        _, kind, key, *_ = reference
        if not isinstance(key, str):
            raise ValueError("a storage has no name")
        return _Storage(self, kind, key)


CONSTRUCTORS: dict[str, Callable[..., Any]] = {
    **pickle_arrays.CONSTRUCTORS,
    **dict.fromkeys(STORAGES, StandIn),
    "torch._utils._rebuild_tensor_v2": _Tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_rest: tensor,
    "torch.Size": lambda sizes: sizes,
}
"""Names that such a file may refer to -> stand-ins."""


def read_torch(path: Path) -> Any:
    """Return the content of a `torch.save` file; `pickle_arrays.as_array` decodes its arrays.

    Raises:
        OSError: the file cannot be read.
        ForeignObjectError: it refers to a name that is not admitted.
        InputError: it was written by a torch older than 1.6.
        ValueError: it is damaged.
    """
    with path.open("rb") as file:
        if file.read(len(OLD_FORMAT)) == OLD_FORMAT:
            raise InputError(
                f"{path.name} was written by a torch older than 1.6: save it again with a newer "
                "one, torch.save(torch.load(file), file)"
            )
    try:
        archive = _Archive(path)
    except (OSError, ValueError):
        raise
    except Exception as error:  # zipfile raises nearly any exception on damaged bytes
        raise ValueError(f"not a file of torch.save: {error}") from error
    find = partial(pickle_arrays.data_or_stand_in, constructors=CONSTRUCTORS)
    return load(archive.member("data.pkl"), find, archive.storage)
