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

from .arkit import ARKIT, ARKIT_NAMES
from .controls import CONTROLS
from .expression_map import ExpressionMap

Array = NDArray[Any]
Float = NDArray[np.float32]

NEUTRAL = "_neutral"
MEDIAPIPE_NAMES = (NEUTRAL, *sorted(set(ARKIT_NAMES) - {"tongueOut"}))
"""MediaPipe's 52 categories, in its order: ARKit's without a tongue, and one that says how calm the face is."""

BIAS = "bias"
EXPRESSIONS, JAW, EYES = (EXPRESSION_SIZE, 100), 3, 6
WIDTHS = tuple(wide + more for wide in EXPRESSIONS for more in (0, JAW, JAW + EYES))
"""How many columns a matrix may have."""

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
    parts = [_numbers("expression", arrays["expression"])]
    rows = len(parts[0])
    for name, width in (("jaw", JAW), ("eyes", EYES)):
        parts.append(
            as_float32(name, _numbers(name, arrays[name]), (rows, width)) if name in arrays else _none(rows, width)
        )
    names = tuple(map(str, arrays["names"].ravel())) if "names" in arrays else _apples(rows)
    edition = str(arrays["edition"]) if "edition" in arrays else None
    bias = _numbers(BIAS, arrays[BIAS]) if BIAS in arrays else np.zeros(len(CONTROLS), dtype=np.float32)
    return ExpressionMap(ARKIT, edition, _by_name(names, _joined(parts)), bias)


def _published(arrays: Mapping[str, Array]) -> ExpressionMap:
    rows = len(MEDIAPIPE_NAMES)
    parts = [as_float32("bs2exp", _numbers("bs2exp", arrays["bs2exp"]), (rows, "E"))]
    jaw = next((name for name in ("bs2jaw", "bs2pose") if name in arrays), None)
    turn = _numbers(jaw, arrays[jaw]) if jaw else _none(rows, JAW)
    width = 2 * JAW if jaw == "bs2pose" else JAW
    parts.append(as_float32(str(jaw), turn, (rows, width))[:, -JAW:])
    eyes = _numbers("bs2eye", arrays["bs2eye"]) if "bs2eye" in arrays else _none(rows, EYES)
    parts.append(as_float32("bs2eye", eyes, (rows, EYES)))
    return ExpressionMap(ARKIT, None, _by_name(MEDIAPIPE_NAMES, _joined(parts)))


def _read_folder(folder: Path) -> ExpressionMap:
    found = {name: folder / f"{name}.npy" for name in PUBLISHED if (folder / f"{name}.npy").is_file()}
    if "bs2exp" not in found:
        raise InputError("this folder holds no bs2exp.npy; give a map's file, or the folder of a published one")
    return _published({name: _load(path) for name, path in found.items()})


def _read_npy(path: Path) -> ExpressionMap:
    if path.stem == "bs2exp":
        return _read_folder(path.parent)
    matrix = _numbers("the matrix", _load(path))
    names = (*ARKIT_NAMES, BIAS) if len(matrix) == len(ARKIT_NAMES) + 1 else _apples(len(matrix))
    return _named(names, matrix)


def _read_csv(path: Path) -> ExpressionMap:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
        matrix = np.array([[float(cell) for cell in row[1:]] for row in rows[_heading(rows) :]])
    except (ValueError, csv.Error) as error:
        raise InputError(f"not a table of an ARKit name and numbers in every row ({error})") from error
    if not matrix.size:
        raise InputError("holds no row of an ARKit name and numbers")
    return _named([row[0].strip() for row in rows[_heading(rows) :]], _numbers("the table", matrix))


def _heading(rows: Sequence[Sequence[str]]) -> int:
    """1 where the first line holds no number, and so is a heading."""
    return int(bool(rows) and not any(character.isdigit() for cell in rows[0][1:2] for character in cell[:2]))


READERS: dict[str, Callable[[Path], ExpressionMap]] = {".npy": _read_npy, ".csv": _read_csv}


def _load(path: Path) -> Array:
    try:
        loaded = np.load(path, allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # on damaged bytes numpy raises nearly anything
        raise InputError(f"{path.name} is not a readable .npy of plain numbers ({error})") from error
    if not isinstance(loaded, np.ndarray):
        raise InputError(f"{path.name} is no .npy but an archive; call it .npz")
    return loaded


def _numbers(name: str, array: Array) -> Float:
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} must hold numbers, got {array.dtype}")
    return as_float32(name, array, ("n",) if name == BIAS else ("n", "columns"))


def _none(rows: int, width: int) -> Float:
    return np.zeros((rows, width), dtype=np.float32)


def _apples(rows: int) -> tuple[str, ...]:
    if rows != len(ARKIT_NAMES):
        raise InputError(
            f"a matrix without names must have {len(ARKIT_NAMES)} rows in Apple's order, got {rows}; give their ARKit "
            "names, in a .csv before each row or in an .npz as `names`"
        )
    return ARKIT_NAMES


def _joined(parts: Sequence[Float]) -> Float:
    """[n, 59] of expression (cut), jaw and eyes."""
    if parts[0].shape[1] < EXPRESSION_SIZE:
        raise InputError(f"expression must have at least {EXPRESSION_SIZE} columns, got {parts[0].shape[1]}")
    return np.concatenate([parts[0][:, :EXPRESSION_SIZE], *parts[1:]], axis=1)


def _named(names: Sequence[str], matrix: Float) -> ExpressionMap:
    """The map of a matrix whose columns are counted to know them, and whose rows may hold the bias."""
    if matrix.shape[1] not in WIDTHS:
        raise InputError(f"a matrix must have {', '.join(map(str, WIDTHS))} columns, got {matrix.shape[1]}")
    wide = max(size for size in EXPRESSIONS if size <= matrix.shape[1])
    rest = matrix[:, wide:]
    whole = _joined([matrix[:, :wide], rest, _none(len(matrix), JAW + EYES - rest.shape[1])])
    bias = whole[names.index(BIAS)] if BIAS in names else np.zeros(len(CONTROLS), dtype=np.float32)
    kept = [index for index, name in enumerate(names) if name != BIAS]
    return ExpressionMap(ARKIT, None, _by_name([names[index] for index in kept], whole[kept]), bias)


def _by_name(names: Sequence[str], rows: Float) -> Float:
    """[52, 59] rows in Apple's order; a shape that is not named moves nothing."""
    if len(names) != len(rows) or len(set(names)) != len(names):
        raise InputError(f"every row needs one name of its own, got {len(names)} names for {len(rows)} rows")
    if unknown := [name for name in names if name not in (*ARKIT_NAMES, NEUTRAL)]:
        raise InputError(f"{unknown[0]!r} is no ARKit shape; expected names like {', '.join(ARKIT_NAMES[:3])}")
    matrix = _none(len(ARKIT_NAMES), rows.shape[1])
    for name, row in zip(names, rows, strict=True):
        if name != NEUTRAL:
            matrix[ARKIT_NAMES.index(name)] = row
    return matrix
