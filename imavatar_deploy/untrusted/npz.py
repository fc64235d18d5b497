"""`.npz` and `.npy` of plain arrays, read within bounds: no header makes us reserve what the file does not hold."""

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

# A file that gives no more than it has: Python reserves what is asked of one, however far beyond its end that is.


class BoundedFile(io.FileIO):
    """An unbuffered file to read, for readers that believe the sizes they find in it."""

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes, or all there are."""
        left = max(0, os.fstat(self.fileno()).st_size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left)) or b""


MOST_BYTES = 1 << 28
"""Of one array once unpacked. A FLAME head's largest has 50 MB, an hour's expressions at 60 frames a second 86 MB."""

FORMAT: Any = np.lib.format  # not typed in every numpy

HEADERS = {(1, 0): FORMAT.read_array_header_1_0, (2, 0): FORMAT.read_array_header_2_0}


def read_npz(path: Path, keys: Iterable[str]) -> dict[str, NDArray[Any]]:
    """The arrays of `keys` that a `.npz` holds.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, one of them is unreasonably large, or holds objects.
    """
    try:
        with BoundedFile(path) as file, zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            return {key: _member(archive, f"{key}.npy") for key in keys if f"{key}.npy" in names}
    except (OSError, ValueError):
        raise
    except Exception as error:  # on damaged bytes zip raises nearly anything
        raise ValueError(str(error) or type(error).__name__) from error


def npz_sizes(path: Path) -> dict[str, int]:
    """The names of the arrays in a `.npz`, and how many bytes each unpacks to.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no zip file.
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


def array_of(content: bytes) -> NDArray[Any]:
    """The array in the bytes of a `.npy`.

    Raises:
        ValueError: they are damaged, or hold objects.
    """
    shape, column_major, dtype, body = header_of(content)
    if dtype.hasobject:
        raise ValueError("it holds objects, not numbers")
    count = prod(shape)
    if not 0 < count * dtype.itemsize <= len(body):
        raise ValueError(f"it should hold {count} times {dtype.itemsize} bytes, got {len(body)}")
    if dtype.kind == "U":
        _check_letters(
            np.frombuffer(
                body, np.dtype("u4").newbyteorder(dtype.byteorder), count * dtype.itemsize // 4
            )
        )
    return (
        np.frombuffer(body, dtype, count).reshape(shape, order="F" if column_major else "C").copy()
    )


def _check_letters(codes: NDArray[np.uint32]) -> None:
    """Raise ValueError for what is no Unicode: numpy would make words of it that break Python."""
    if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any():
        raise ValueError("words of letters that there are not")


def header_of(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], memoryview]:
    """Shape, whether by columns, data type and the rest of the bytes of a `.npy`.

    Raises:
        ValueError: they are no `.npy`.
    """
    file = io.BytesIO(content)
    try:
        version = FORMAT.read_magic(file)
        shape, column_major, dtype = HEADERS[version](file)
    except Exception as error:  # the header is Python text, which numpy parses but does not run
        raise ValueError(f"not in numpy's format ({error})") from error
    if any(size < 0 for size in shape):
        raise ValueError(f"an array of {shape}")
    return shape, column_major, dtype, memoryview(content)[file.tell() :]


def _member(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    entry = archive.getinfo(name)
    if entry.file_size > MOST_BYTES:
        raise ValueError(f"{name} would unpack to {entry.file_size / 1e9:.1f} GB")
    try:
        return array_of(archive.read(entry))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
