"""Maps that are not ours: matrices of ARKit weights to FLAME codes, which users bring along.

The published ones may not be bundled (they are non-commercial), so they are read as they come. A matrix has one row for
each shape and, in this order, 50 or 100 columns of expression (those after 50 are cut), then perhaps 3 of the jaw and 6
of the eyes (left, right; axis-angle, radians).

    .csv   a row begins with an ARKit name, in any order, or with `bias`; a header line is passed over
    .npy   52 rows in Apple's order, a 53rd is the bias
    .npz   `expression`, and perhaps `jaw` [n, 3], `eyes` [n, 6], `bias` [59], `names` [n] (else 52 rows in Apple's
           order) and `edition`; or `bs2exp`, `bs2jaw` or `bs2pose`, `bs2eye` with rows in MediaPipe's order
    a folder with bs2exp.npy and perhaps bs2jaw.npy (or bs2pose.npy) and bs2eye.npy, or that first file
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.checks import as_float32
from imavatar_deploy.errors import InputError
from imavatar_deploy.plain_npz import array_of

from .arkit import ARKIT, ARKIT_NAMES
from .controls import CONTROLS
from .expression_map import ExpressionMap
from .named_rows import (
    BIAS,
    EYES,
    JAW,
    MEDIAPIPE_NAMES,
    apples,
    joined_columns,
    named_matrix,
    nothing,
    numbers,
    rows_by_name,
)

Array = NDArray[Any]

PUBLISHED = ("bs2exp", "bs2jaw", "bs2pose", "bs2eye")
"""Names of arrays and files in a published map; in `bs2pose` the head's rotation comes before the jaw's."""


def read(path: Path) -> ExpressionMap:
    """Read a `.csv`, a `.npy` or a folder.

    Raises:
        InputError: of none of these layouts; the caller adds the path.
    """
    reader = _read_folder if path.is_dir() else READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"no map ends in {path.suffix!r}: expected .npz, .npy, .csv or a folder with bs2exp.npy")
    return reader(path)


def from_members(arrays: Mapping[str, Array]) -> ExpressionMap:
    """The map in the members of an `.npz` (see above).

    Raises:
        InputError: they are of no known layout.
    """
    if "bs2exp" in arrays:
        return _published(arrays)
    if "expression" not in arrays:
        raise InputError(f"holds {', '.join(arrays) or 'nothing'}; expected expression, jaw, eyes, names, or bs2exp")
    parts = [numbers("expression", arrays["expression"])]
    rows = len(parts[0])
    for name, width in (("jaw", JAW), ("eyes", EYES)):
        parts.append(
            as_float32(name, numbers(name, arrays[name]), (rows, width)) if name in arrays else nothing(rows, width)
        )
    names = tuple(map(str, arrays["names"].ravel())) if "names" in arrays else apples(rows)
    edition = str(arrays["edition"]) if "edition" in arrays else None
    bias = numbers(BIAS, arrays[BIAS]) if BIAS in arrays else np.zeros(len(CONTROLS), dtype=np.float32)
    return ExpressionMap(ARKIT, edition, rows_by_name(names, joined_columns(parts)), bias)


def _published(arrays: Mapping[str, Array]) -> ExpressionMap:
    rows = len(MEDIAPIPE_NAMES)
    parts = [as_float32("bs2exp", numbers("bs2exp", arrays["bs2exp"]), (rows, "E"))]
    jaw = next((name for name in ("bs2jaw", "bs2pose") if name in arrays), None)
    turn = numbers(jaw, arrays[jaw]) if jaw else nothing(rows, JAW)
    width = 2 * JAW if jaw == "bs2pose" else JAW
    parts.append(as_float32(str(jaw), turn, (rows, width))[:, -JAW:])
    eyes = numbers("bs2eye", arrays["bs2eye"]) if "bs2eye" in arrays else nothing(rows, EYES)
    parts.append(as_float32("bs2eye", eyes, (rows, EYES)))
    return ExpressionMap(ARKIT, None, rows_by_name(MEDIAPIPE_NAMES, joined_columns(parts)))


def _read_folder(folder: Path) -> ExpressionMap:
    found = {name: folder / f"{name}.npy" for name in PUBLISHED if (folder / f"{name}.npy").is_file()}
    if "bs2exp" not in found:
        raise InputError("this folder holds no bs2exp.npy; give a map's file, or the folder of a published one")
    return _published({name: _load(path) for name, path in found.items()})


def _read_npy(path: Path) -> ExpressionMap:
    if path.stem == "bs2exp":
        return _read_folder(path.parent)
    matrix = numbers("the matrix", _load(path))
    names = (*ARKIT_NAMES, BIAS) if len(matrix) == len(ARKIT_NAMES) + 1 else apples(len(matrix))
    return named_matrix(names, matrix)


def _read_csv(path: Path) -> ExpressionMap:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
        if rows and _is_heading(rows[0]):
            rows = rows[1:]
        matrix = np.array([[float(cell) for cell in row[1:]] for row in rows])
    except (ValueError, csv.Error) as error:
        raise InputError(f"not a table of an ARKit name and numbers in every row ({error})") from error
    if not matrix.size:
        raise InputError("holds no row of an ARKit name and numbers")
    return named_matrix([row[0].strip() for row in rows], numbers("the table", matrix))


def _is_heading(row: Sequence[str]) -> bool:
    """Whether a line names columns: it begins with no name of a row, and its second cell is no number."""
    if row[0].strip() in (*ARKIT_NAMES, BIAS):
        return False
    try:
        float(row[1])
    except (ValueError, IndexError):
        return True
    return False


READERS: dict[str, Callable[[Path], ExpressionMap]] = {".npy": _read_npy, ".csv": _read_csv}


ARCHIVE = (b"PK\x03\x04", b"PK\x05\x06")
"""What a zip begins with."""


def _load(path: Path) -> Array:
    content = path.read_bytes()
    if content.startswith(ARCHIVE):
        raise InputError(f"{path.name} is no .npy but an archive; call it .npz")
    try:
        return array_of(content)
    except ValueError as error:
        raise InputError(f"{path.name} is not a readable .npy of plain numbers ({error})") from error
