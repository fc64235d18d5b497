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
from imavatar_deploy.conventions import EXPRESSION_SIZE
from imavatar_deploy.errors import InputError
from imavatar_deploy.untrusted.npz import array_of

from .arkit import ARKIT, ARKIT_NAMES
from .expression_map import CONTROLS, ExpressionMap

# Rows with names: a matrix of somebody's ARKit shapes, its rows put into Apple's order, its columns into ours.


Array = NDArray[Any]

Float = NDArray[np.float32]

NEUTRAL = "_neutral"

MEDIAPIPE_NAMES = (NEUTRAL, *sorted(set(ARKIT_NAMES) - {"tongueOut"}))
"""MediaPipe's 52 categories, in its order: ARKit's without a tongue, and one that says how calm the face is."""

BIAS = "bias"

EXPRESSIONS, JAW, EYES = (EXPRESSION_SIZE, 100), 3, 6

WIDTHS = tuple(wide + more for wide in EXPRESSIONS for more in (0, JAW, JAW + EYES))
"""How many columns a matrix may have."""


def numbers(name: str, array: Array) -> Float:
    """The array as float32 `[n, columns]` (a bias as `[n]`), if it holds numbers."""
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} must hold numbers, got {array.dtype}")
    return as_float32(name, array, ("n",) if name == BIAS else ("n", "columns"))


def nothing(rows: int, width: int) -> Float:
    """Zeros for a part that is left out."""
    return np.zeros((rows, width), dtype=np.float32)


def default_arkit_names(rows: int) -> tuple[str, ...]:
    """Names of rows that have none: Apple's order, if they are 52."""
    if rows != len(ARKIT_NAMES):
        raise InputError(
            f"a matrix without names must have {len(ARKIT_NAMES)} rows in Apple's order, got {rows}; give their ARKit "
            "names, in a .csv before each row or in an .npz as `names`"
        )
    return ARKIT_NAMES


def joined_columns(parts: Sequence[Float]) -> Float:
    """[n, 59] of expression (cut), jaw and eyes."""
    if parts[0].shape[1] < EXPRESSION_SIZE:
        raise InputError(
            f"expression must have at least {EXPRESSION_SIZE} columns, got {parts[0].shape[1]}"
        )
    return np.concatenate([parts[0][:, :EXPRESSION_SIZE], *parts[1:]], axis=1)


def named_matrix(names: Sequence[str], matrix: Float) -> ExpressionMap:
    """The map of a matrix whose columns are counted to know them, and whose rows may hold the bias."""
    if matrix.shape[1] not in WIDTHS:
        raise InputError(
            f"a matrix must have {', '.join(map(str, WIDTHS))} columns, got {matrix.shape[1]}"
        )
    wide = max(size for size in EXPRESSIONS if size <= matrix.shape[1])
    rest = matrix[:, wide:]
    whole = joined_columns(
        [matrix[:, :wide], rest, nothing(len(matrix), JAW + EYES - rest.shape[1])]
    )
    bias = whole[names.index(BIAS)] if BIAS in names else np.zeros(len(CONTROLS), dtype=np.float32)
    if names.count(BIAS) > 1:
        raise InputError("a matrix has one bias, got several rows of that name")
    kept = [index for index, name in enumerate(names) if name != BIAS]
    return ExpressionMap(
        ARKIT, None, rows_by_name([names[index] for index in kept], whole[kept]), bias
    )


def rows_by_name(names: Sequence[str], rows: Float) -> Float:
    """[52, 59] rows in Apple's order; a shape that is not named moves nothing."""
    if len(names) != len(rows) or len(set(names)) != len(names):
        raise InputError(
            f"every row needs one name of its own, got {len(names)} names for {len(rows)} rows"
        )
    if unknown := [name for name in names if name not in (*ARKIT_NAMES, NEUTRAL)]:
        raise InputError(
            f"{unknown[0]!r} is no ARKit shape; expected names like {', '.join(ARKIT_NAMES[:3])}"
        )
    matrix = nothing(len(ARKIT_NAMES), rows.shape[1])
    for name, row in zip(names, rows, strict=True):
        if name != NEUTRAL:
            matrix[ARKIT_NAMES.index(name)] = row
    return matrix


PUBLISHED = ("bs2exp", "bs2jaw", "bs2pose", "bs2eye")
"""Names of arrays and files in a published map; in `bs2pose` the head's rotation comes before the jaw's."""


def read(path: Path) -> ExpressionMap:
    """Read a `.csv`, a `.npy` or a folder.

    Raises:
        InputError: of none of these layouts; the caller adds the path.
    """
    reader = _read_folder if path.is_dir() else READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"no map ends in {path.suffix!r}: expected .npz, .npy, .csv or a folder with bs2exp.npy"
        )
    return reader(path)


def from_members(arrays: Mapping[str, Array]) -> ExpressionMap:
    """The map in the members of an `.npz` (see above).

    Raises:
        InputError: they are of no known layout.
    """
    if "bs2exp" in arrays:
        return _published(arrays)
    if "expression" not in arrays:
        raise InputError(
            f"holds {', '.join(arrays) or 'nothing'}; expected expression, jaw, eyes, names, or bs2exp"
        )
    parts = [numbers("expression", arrays["expression"])]
    rows = len(parts[0])
    for name, width in (("jaw", JAW), ("eyes", EYES)):
        parts.append(
            as_float32(name, numbers(name, arrays[name]), (rows, width))
            if name in arrays
            else nothing(rows, width)
        )
    names = (
        tuple(map(str, arrays["names"].ravel())) if "names" in arrays else default_arkit_names(rows)
    )
    edition = str(arrays["edition"]) if "edition" in arrays else None
    bias = (
        numbers(BIAS, arrays[BIAS]) if BIAS in arrays else np.zeros(len(CONTROLS), dtype=np.float32)
    )
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
    found = {
        name: folder / f"{name}.npy" for name in PUBLISHED if (folder / f"{name}.npy").is_file()
    }
    if "bs2exp" not in found:
        raise InputError(
            "this folder holds no bs2exp.npy; give a map's file, or the folder of a published one"
        )
    return _published({name: _load(path) for name, path in found.items()})


def _read_npy(path: Path) -> ExpressionMap:
    if path.stem == "bs2exp":
        return _read_folder(path.parent)
    matrix = numbers("the matrix", _load(path))
    names = (
        (*ARKIT_NAMES, BIAS)
        if len(matrix) == len(ARKIT_NAMES) + 1
        else default_arkit_names(len(matrix))
    )
    return named_matrix(names, matrix)


def _read_csv(path: Path) -> ExpressionMap:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
        if rows and _is_heading(rows[0]):
            rows = rows[1:]
        matrix = np.array([[float(cell) for cell in row[1:]] for row in rows])
    except (ValueError, csv.Error) as error:
        raise InputError(
            f"not a table of an ARKit name and numbers in every row ({error})"
        ) from error
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
        raise InputError(
            f"{path.name} is not a readable .npy of plain numbers ({error})"
        ) from error
