"""Read FLAME's pickles as data: arrays, sparse matrices and chumpy's stored arrays.

Each name that a pickle may refer to is replaced by a stand-in, so that numpy, scipy and chumpy do
not process the file's content. Any other name is refused, see `pickle_reader`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array
from imavatar_deploy.errors import InputError

from . import pickle_arrays
from .pickle_arrays import ArrayStandIn, as_array, checked_sizes, empty_stand_in
from .pickle_reader import ForeignObjectError, StandIn, load

MAX_DENSE_ENTRIES = 1 << 26
"""Largest number of elements of a sparse matrix in dense form; FLAME's joint regressor has
25,115."""


class _Sparse(ArrayStandIn):
    def array(self) -> Array:
        fields = self.state
        shape = checked_sizes(fields.get("_shape", fields.get("shape")))
        if prod(shape) > MAX_DENSE_ENTRIES:
            raise ValueError(
                f"a sparse matrix of {' x '.join(map(str, shape))} is no part of a head"
            )
        dense = np.zeros(shape)
        data = as_array(fields["data"])
        if "indptr" in fields:  # compressed rows (csr) or columns (csc)
            minor = as_array(fields["indices"])
            counts = np.diff(as_array(fields["indptr"]))
            if (counts < 0).any() or counts.sum() != len(minor):
                raise ValueError("a sparse matrix whose rows do not add up")
            major = np.repeat(np.arange(len(counts)), counts)
            by_columns = self.origin.rsplit(".", 1)[1].startswith("csc")
            row, column = (minor, major) if by_columns else (major, minor)
        else:  # coordinates
            row, column = (
                as_array(part) for part in fields.get("coords") or (fields["row"], fields["col"])
            )
        np.add.at(dense, (row, column), data)
        return dense


class _Chumpy(ArrayStandIn):
    def array(self) -> Array:
        fields = self.state if isinstance(self.state, dict) else {}
        if "x" in fields:  # chumpy.ch.Ch
            return as_array(fields["x"])
        if {"a", "idxs", "preferred_shape"} <= fields.keys():  # chumpy.reordering.Select: a slice
            values = as_array(fields["a"]).ravel()[as_array(fields["idxs"])]
            return values.reshape(fields["preferred_shape"])
        raise ValueError(f"{self.origin} is a chumpy formula without a stored array")


CONSTRUCTORS: dict[str, Callable[..., Any]] = pickle_arrays.CONSTRUCTORS | {
    "copy_reg._reconstructor": empty_stand_in,
    "copyreg._reconstructor": empty_stand_in,
    "__builtin__.object": StandIn,
    "builtins.object": StandIn,
    "__builtin__.set": StandIn,  # chumpy's objects hold sets, which are not used here
    "builtins.set": StandIn,
}
"""Names that a head model's pickle may refer to -> stand-ins; `chumpy.*` and scipy's sparse
matrices are admitted besides."""

SPARSE_CLASSES = ("csc_matrix", "csr_matrix", "coo_matrix", "csc_array", "csr_array", "coo_array")


def _find(origin: str) -> Callable[..., Any] | None:
    if origin.startswith("chumpy."):
        return type("Chumpy", (_Chumpy,), {"origin": origin})
    if origin.startswith("scipy.sparse.") and origin.rsplit(".", 1)[1] in SPARSE_CLASSES:
        return type("Sparse", (_Sparse,), {"origin": origin})
    return CONSTRUCTORS.get(origin)


def read_flame_pickle(path: Path, keys: Iterable[str]) -> dict[str, Array]:
    """Read those arrays of a FLAME `.pkl` whose names are in `keys`; sparse matrices become dense.

    Raises:
        InputError: the file cannot be read, is damaged, holds a foreign object, or a key is not an
            array.
    """
    try:
        content = load(path.read_bytes(), _find)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    except ForeignObjectError as error:
        raise InputError(
            f"{path} holds {error.origin}, which has no place in a head model; "
            "nothing of it was run; do not use this file"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{path} is not a readable pickle ({error}); download the head model again"
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a dictionary of arrays, got {type(content).__name__}")
    return {key: _member(path, key, content[key]) for key in keys if key in content}


def _member(path: Path, key: str, value: Any) -> Array:
    try:
        return as_array(value)
    except Exception as error:  # a damaged file may raise nearly any exception
        raise InputError(
            f"{key} in {path} is not a readable array ({error}); download the head model again"
        ) from error
