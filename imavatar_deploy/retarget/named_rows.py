"""Rows with names: a matrix of somebody's ARKit shapes, its rows put into Apple's order, its columns into ours."""

from __future__ import annotations

from collections.abc import Sequence
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


def numbers(name: str, array: Array) -> Float:
    """The array as float32 `[n, columns]` (a bias as `[n]`), if it holds numbers."""
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} must hold numbers, got {array.dtype}")
    return as_float32(name, array, ("n",) if name == BIAS else ("n", "columns"))


def nothing(rows: int, width: int) -> Float:
    """Zeros for a part that is left out."""
    return np.zeros((rows, width), dtype=np.float32)


def apples(rows: int) -> tuple[str, ...]:
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
        raise InputError(f"expression must have at least {EXPRESSION_SIZE} columns, got {parts[0].shape[1]}")
    return np.concatenate([parts[0][:, :EXPRESSION_SIZE], *parts[1:]], axis=1)


def named_matrix(names: Sequence[str], matrix: Float) -> ExpressionMap:
    """The map of a matrix whose columns are counted to know them, and whose rows may hold the bias."""
    if matrix.shape[1] not in WIDTHS:
        raise InputError(f"a matrix must have {', '.join(map(str, WIDTHS))} columns, got {matrix.shape[1]}")
    wide = max(size for size in EXPRESSIONS if size <= matrix.shape[1])
    rest = matrix[:, wide:]
    whole = joined_columns([matrix[:, :wide], rest, nothing(len(matrix), JAW + EYES - rest.shape[1])])
    bias = whole[names.index(BIAS)] if BIAS in names else np.zeros(len(CONTROLS), dtype=np.float32)
    if names.count(BIAS) > 1:
        raise InputError("a matrix has one bias, got several rows of that name")
    kept = [index for index, name in enumerate(names) if name != BIAS]
    return ExpressionMap(ARKIT, None, rows_by_name([names[index] for index in kept], whole[kept]), bias)


def rows_by_name(names: Sequence[str], rows: Float) -> Float:
    """[52, 59] rows in Apple's order; a shape that is not named moves nothing."""
    if len(names) != len(rows) or len(set(names)) != len(names):
        raise InputError(f"every row needs one name of its own, got {len(names)} names for {len(rows)} rows")
    if unknown := [name for name in names if name not in (*ARKIT_NAMES, NEUTRAL)]:
        raise InputError(f"{unknown[0]!r} is no ARKit shape; expected names like {', '.join(ARKIT_NAMES[:3])}")
    matrix = nothing(len(ARKIT_NAMES), rows.shape[1])
    for name, row in zip(names, rows, strict=True):
        if name != NEUTRAL:
            matrix[ARKIT_NAMES.index(name)] = row
    return matrix
