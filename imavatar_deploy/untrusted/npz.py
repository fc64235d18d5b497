"""Read `.npz` and `.npy` files of plain arrays with bounded memory.

A header cannot cause an allocation that is larger than the file's content.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import Array

MAX_BYTES = 1 << 28
"""Largest size of one array, unpacked. The largest of a FLAME head has 50 MB, an hour of
expressions at 60 frames a second 86 MB."""

FORMAT: Any = np.lib.format  # not typed in every numpy

HEADERS = {(1, 0): FORMAT.read_array_header_1_0, (2, 0): FORMAT.read_array_header_2_0}
"""Version of the format -> reader of its header."""


class BoundedFile(io.FileIO):
    """An unbuffered file for readers that do not check the sizes in it.

    Python allocates as many bytes as are requested, however far beyond the end of the file.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most `size` bytes, or all remaining bytes."""
        left = max(0, os.fstat(self.fileno()).st_size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left)) or b""


def read_npz(path: Path, keys: Iterable[str]) -> dict[str, Array]:
    """Read those arrays of a `.npz` whose names are in `keys`.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or an array is larger than `MAX_BYTES` or holds objects.
    """
    try:
        with BoundedFile(path) as file, zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            return {key: _member(archive, f"{key}.npy") for key in keys if f"{key}.npy" in names}
    except (OSError, ValueError):
        raise
    except Exception as error:  # zipfile raises nearly any exception on damaged bytes
        raise ValueError(str(error) or type(error).__name__) from error


def npz_sizes(path: Path) -> dict[str, int]:
    """Return the name and the unpacked size in bytes of each array in a `.npz`.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a zip file.
    """
    try:
        with BoundedFile(path) as file, zipfile.ZipFile(file) as archive:
            return {
                entry.filename.removesuffix(".npy"): entry.file_size
                for entry in archive.infolist()
                if entry.filename.endswith(".npy")
            }
    except OSError:
        raise
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from error


def array_of(content: bytes) -> Array:
    """Return the array in the bytes of a `.npy`.

    Raises:
        ValueError: the bytes are damaged, or the array holds objects.
    """
    shape, column_major, dtype, body = header_of(content)
    if dtype.hasobject:
        raise ValueError("it holds objects, not numbers")
    count = prod(shape)
    if not 0 < count * dtype.itemsize <= len(body):
        raise ValueError(f"it should hold {count} times {dtype.itemsize} bytes, got {len(body)}")
    if dtype.kind == "U":
        code_type = np.dtype("u4").newbyteorder(dtype.byteorder)
        _check_letters(np.frombuffer(body, code_type, count * dtype.itemsize // 4))
    order: Any = "F" if column_major else "C"
    return np.frombuffer(body, dtype, count).reshape(shape, order=order).copy()


def _check_letters(codes: NDArray[np.uint32]) -> None:
    """Raise ValueError for invalid code points: numpy would make invalid Python strings of them."""
    if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any():
        raise ValueError("its text is not valid Unicode")


def header_of(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], memoryview]:
    """Return shape, whether the order is column-major, data type and content of a `.npy`.

    Raises:
        ValueError: the bytes are not those of a `.npy`.
    """
    file = io.BytesIO(content)
    try:
        version = FORMAT.read_magic(file)
        shape, column_major, dtype = HEADERS[version](file)
    except Exception as error:  # the header is Python text, which numpy parses but does not run
        raise ValueError(f"not in numpy's format ({error})") from error
    # numpy admits every object that Python counts among the integers, True among them
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"its shape is {shape!r:.80}")
    return shape, column_major, dtype, memoryview(content)[file.tell() :]


def _member(archive: zipfile.ZipFile, name: str) -> Array:
    entry = archive.getinfo(name)
    if entry.file_size > MAX_BYTES:
        raise ValueError(f"{name} would unpack to {entry.file_size / 1e9:.1f} GB")
    try:
        return array_of(archive.read(entry))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
