"""Third-party maps: matrices from ARKit weights to FLAME codes that users provide.

The published ones are non-commercial and cannot be bundled; they are read in their own layouts. A
matrix has one row for each shape and, in this order, 50 or 100 columns of expression (those after
50 are dropped), then optionally 3 of the jaw and 6 of the eyes (left, right; axis-angle, radians).

    .csv   a row begins with an ARKit name, in any order, or with `bias`; a header line is skipped
    .npy   52 rows in Apple's order; a 53rd is the bias
    .npz   `expression`, and optionally `jaw` [n, 3], `eyes` [n, 6], `bias` [59], `names` [n] (else
           52 rows in Apple's order) and `edition`; or `bs2exp`, `bs2jaw` or `bs2pose`, `bs2eye`
           with rows in MediaPipe's order
    a folder with bs2exp.npy and optionally bs2jaw.npy (or bs2pose.npy) and bs2eye.npy, or the file
    bs2exp.npy
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import EXPRESSION_SIZE
from imavatar_deploy.errors import InputError, excerpt
from imavatar_deploy.untrusted.npz import array_of

from .arkit import ARKIT, ARKIT_NAMES
from .expression_map import CONTROLS, ExpressionMap

NEUTRAL = "_neutral"
"""MediaPipe's category for the neutral face."""

MEDIAPIPE_NAMES = (NEUTRAL, *sorted(set(ARKIT_NAMES) - {"tongueOut"}))
"""MediaPipe's 52 categories, in its order: `NEUTRAL`, and ARKit's shapes without tongueOut."""

BIAS = "bias"
"""Name of the row of a matrix that is its bias."""

EXPRESSION_COUNTS = (EXPRESSION_SIZE, 100)
"""Possible numbers of expression columns."""

JAW_COLUMNS = 3
"""Columns of the jaw's axis-angle."""

EYE_COLUMNS = 6
"""Columns of the axis-angles of both eyes."""

COLUMN_COUNTS = tuple(
    wide + more
    for wide in EXPRESSION_COUNTS
    for more in (0, JAW_COLUMNS, JAW_COLUMNS + EYE_COLUMNS)
)
"""Possible numbers of columns of a matrix."""

PUBLISHED_ARRAYS = ("bs2exp", "bs2jaw", "bs2pose", "bs2eye")
"""Arrays and files of a published map. In `bs2pose` the head's rotation precedes the jaw's."""

ARCHIVE = (b"PK\x03\x04", b"PK\x05\x06")
"""First bytes of a zip file."""


def numbers(name: str, array: Array) -> Float32[Array, "n ..."]:
    """Convert an array of numbers to float32 `[n, columns]`, a bias to `[n]`.

    Raises:
        InputError: the array does not hold numbers, or has another shape.
    """
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} must hold numbers, got {array.dtype}")
    return as_float32(name, array, ("n",) if name == BIAS else ("n", "columns"))


def zeros(rows: int, width: int) -> Float32[Array, "n columns"]:
    """Return the columns of a part that the map leaves out."""
    return np.zeros((rows, width), dtype=np.float32)


def _no_bias() -> Float32[Array, "59"]:
    return np.zeros(len(CONTROLS), dtype=np.float32)


def default_arkit_names(rows: int) -> tuple[str, ...]:
    """Return the names of unnamed rows: Apple's order.

    Raises:
        InputError: the number of rows is not 52.
    """
    if rows != len(ARKIT_NAMES):
        raise InputError(
            f"a matrix without names must have {len(ARKIT_NAMES)} rows in Apple's order, "
            f"got {rows}; give their ARKit names, in a .csv before each row or in an .npz as "
            "`names`"
        )
    return ARKIT_NAMES


def joined_columns(parts: Sequence[Float32[Array, "n _"]]) -> Float32[Array, "n 59"]:
    """Join expression (its first 50 columns), jaw and eyes.

    Raises:
        InputError: there are fewer than 50 columns of expression.
    """
    if parts[0].shape[1] < EXPRESSION_SIZE:
        raise InputError(
            f"expression must have at least {EXPRESSION_SIZE} columns, got {parts[0].shape[1]}"
        )
    return np.concatenate([parts[0][:, :EXPRESSION_SIZE], *parts[1:]], axis=1)


def named_matrix(names: Sequence[str], matrix: Float32[Array, "n columns"]) -> ExpressionMap:
    """Return the map of a matrix with named rows, one of which may be the bias.

    The number of columns decides what they are.

    Raises:
        InputError: the number of columns or a name is wrong.
    """
    if matrix.shape[1] not in COLUMN_COUNTS:
        raise InputError(
            f"a matrix must have {', '.join(map(str, COLUMN_COUNTS))} columns, "
            f"got {matrix.shape[1]}"
        )
    wide = max(size for size in EXPRESSION_COUNTS if size <= matrix.shape[1])
    rest = matrix[:, wide:]
    padding = zeros(len(matrix), JAW_COLUMNS + EYE_COLUMNS - rest.shape[1])
    controls = joined_columns([matrix[:, :wide], rest, padding])
    if names.count(BIAS) > 1:
        raise InputError("a matrix has one bias, got several rows of that name")
    bias = controls[names.index(BIAS)] if BIAS in names else _no_bias()
    shapes = [index for index, name in enumerate(names) if name != BIAS]
    shape_rows = rows_by_name([names[index] for index in shapes], controls[shapes])
    return ExpressionMap(ARKIT, None, shape_rows, bias)


def rows_by_name(
    names: Sequence[str], rows: Float32[Array, "n columns"]
) -> Float32[Array, "52 columns"]:
    """Return the rows in Apple's order; a shape without a row has zeros.

    Raises:
        InputError: a name is unknown, missing or not unique.
    """
    if len(names) != len(rows) or len(set(names)) != len(names):
        raise InputError(
            f"every row needs one name of its own, got {len(names)} names for {len(rows)} rows"
        )
    if unknown := [name for name in names if name not in (*ARKIT_NAMES, NEUTRAL)]:
        raise InputError(
            f"{excerpt(unknown[0])!r} is no ARKit shape; "
            f"expected names like {', '.join(ARKIT_NAMES[:3])}"
        )
    matrix = zeros(len(ARKIT_NAMES), rows.shape[1])
    for name, row in zip(names, rows, strict=True):
        if name != NEUTRAL:
            matrix[ARKIT_NAMES.index(name)] = row
    return matrix


def read(path: Path) -> ExpressionMap:
    """Read a `.csv`, a `.npy` or a folder.

    Raises:
        InputError: the layout is none of these; the message does not name the path.
    """
    reader = _read_folder if path.is_dir() else READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"no map ends in {excerpt(path.suffix)!r}: "
            "expected .npz, .npy, .csv or a folder with bs2exp.npy"
        )
    return reader(path)


def from_members(arrays: Mapping[str, Array]) -> ExpressionMap:
    """Return the map in the members of an `.npz`.

    Raises:
        InputError: the members have no known layout.
    """
    if "bs2exp" in arrays:
        return _map_of_published_arrays(arrays)
    if "expression" not in arrays:
        raise InputError(
            f"holds {excerpt(', '.join(arrays)) or 'nothing'}; "
            "expected expression, jaw, eyes, names, or bs2exp"
        )
    parts = [numbers("expression", arrays["expression"])]
    rows = len(parts[0])
    for name, width in (("jaw", JAW_COLUMNS), ("eyes", EYE_COLUMNS)):
        parts.append(
            as_float32(name, numbers(name, arrays[name]), (rows, width))
            if name in arrays
            else zeros(rows, width)
        )
    names = (
        tuple(map(str, arrays["names"].ravel())) if "names" in arrays else default_arkit_names(rows)
    )
    edition = str(arrays["edition"]) if "edition" in arrays else None
    bias = numbers(BIAS, arrays[BIAS]) if BIAS in arrays else _no_bias()
    return ExpressionMap(ARKIT, edition, rows_by_name(names, joined_columns(parts)), bias)


def _map_of_published_arrays(arrays: Mapping[str, Array]) -> ExpressionMap:
    rows = len(MEDIAPIPE_NAMES)
    parts = [as_float32("bs2exp", numbers("bs2exp", arrays["bs2exp"]), (rows, "E"))]
    jaw = next((name for name in ("bs2jaw", "bs2pose") if name in arrays), None)
    turn = numbers(jaw, arrays[jaw]) if jaw else zeros(rows, JAW_COLUMNS)
    width = 2 * JAW_COLUMNS if jaw == "bs2pose" else JAW_COLUMNS
    parts.append(as_float32(str(jaw), turn, (rows, width))[:, -JAW_COLUMNS:])
    eyes = numbers("bs2eye", arrays["bs2eye"]) if "bs2eye" in arrays else zeros(rows, EYE_COLUMNS)
    parts.append(as_float32("bs2eye", eyes, (rows, EYE_COLUMNS)))
    return ExpressionMap(ARKIT, None, rows_by_name(MEDIAPIPE_NAMES, joined_columns(parts)))


def _read_folder(folder: Path) -> ExpressionMap:
    files = {name: folder / f"{name}.npy" for name in PUBLISHED_ARRAYS}
    files = {name: path for name, path in files.items() if path.is_file()}
    if "bs2exp" not in files:
        raise InputError(
            "this folder holds no bs2exp.npy; give a map's file, or the folder of a published one"
        )
    return _map_of_published_arrays({name: _load(path) for name, path in files.items()})


def _read_npy(path: Path) -> ExpressionMap:
    if path.stem == "bs2exp":
        return _read_folder(path.parent)
    matrix = numbers("the matrix", _load(path))
    if len(matrix) == len(ARKIT_NAMES) + 1:
        return named_matrix((*ARKIT_NAMES, BIAS), matrix)
    return named_matrix(default_arkit_names(len(matrix)), matrix)


def _read_csv(path: Path) -> ExpressionMap:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
        if rows and _is_heading(rows[0]):
            rows = rows[1:]
        matrix = np.array([[float(cell) for cell in row[1:]] for row in rows])
    except (ValueError, csv.Error) as error:
        raise InputError(
            f"not a table of an ARKit name and numbers in every row ({excerpt(error)})"
        ) from error
    if not matrix.size:
        raise InputError("holds no row of an ARKit name and numbers")
    return named_matrix([row[0].strip() for row in rows], numbers("the table", matrix))


def _is_heading(row: Sequence[str]) -> bool:
    """Return whether a line is a header: no name of a row, and a second cell that is no number."""
    if row[0].strip() in (*ARKIT_NAMES, BIAS):
        return False
    try:
        float(row[1])
    except (ValueError, IndexError):
        return True
    return False


READERS: dict[str, Callable[[Path], ExpressionMap]] = {".npy": _read_npy, ".csv": _read_csv}
"""Reader for each file name extension."""


def _load(path: Path) -> Array:
    content = path.read_bytes()
    if content.startswith(ARCHIVE):
        raise InputError(f"{path.name} is no .npy but an archive; call it .npz")
    try:
        return array_of(content)
    except ValueError as error:
        raise InputError(
            f"{path.name} is not a readable .npy of plain numbers ({error})"
        ) from error
