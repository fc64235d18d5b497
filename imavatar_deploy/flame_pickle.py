"""Read FLAME's pickles as data: arrays, sparse matrices and chumpy's stored arrays come out, no code of theirs runs.

Every name a pickle may ask for is answered by a stand-in of this file, so numpy, scipy and chumpy themselves never
see the file's contents, and any other name is refused. Python 2's pickles are read as `encoding="latin1"` does.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError

Array = NDArray[Any]


class _StandIn:
    """What the file holds in place of an object: the object's state, and nothing it could do."""

    origin = "an object"
    state: Any = None

    def __new__(cls, *_arguments: Any) -> _StandIn:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> Array:
        """The numbers inside."""
        raise ValueError(f"{self.origin} stores no array")


class _Dtype(_StandIn):
    def __init__(self, code: str, *_flags: Any) -> None:
        self.code = code

    def resolve(self) -> np.dtype[Any]:
        dtype = np.dtype(str(self.code))
        if dtype.kind not in "biuf":
            raise ValueError(f"arrays of {dtype} have no place in a head model")
        order: Any = self.state[1] if self.state else "="
        return dtype.newbyteorder("=" if order == "|" else order)


class _Ndarray(_StandIn):
    def array(self) -> Array:
        _, shape, dtype, column_major, content = self.state
        return _from_bytes(content, dtype, shape, "F" if column_major else "C")


class _Sparse(_StandIn):
    def array(self) -> Array:
        fields = self.state
        dense = np.zeros(fields.get("_shape", fields.get("shape")))
        data = _as_array(fields["data"])
        if "indptr" in fields:  # compressed rows (csr) or columns (csc)
            minor, ends = _as_array(fields["indices"]), _as_array(fields["indptr"])
            major = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
            row, column = (minor, major) if self.origin.rsplit(".", 1)[1].startswith("csc") else (major, minor)
        else:  # coordinates
            row, column = (_as_array(part) for part in fields.get("coords") or (fields["row"], fields["col"]))
        np.add.at(dense, (row, column), data)
        return dense


class _Chumpy(_StandIn):
    def array(self) -> Array:
        fields = self.state if isinstance(self.state, dict) else {}
        if "x" in fields:  # chumpy.ch.Ch
            return _as_array(fields["x"])
        if {"a", "idxs", "preferred_shape"} <= fields.keys():  # chumpy.reordering.Select, a slice of another
            return _as_array(fields["a"]).ravel()[_as_array(fields["idxs"])].reshape(fields["preferred_shape"])
        raise ValueError(f"{self.origin} is a chumpy formula without a stored array")


def _as_array(value: Any) -> Array:
    """The array that a value of the file stands for; ValueError when it is none, or not of numbers."""
    array = value.array() if isinstance(value, _StandIn) else np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"expected numbers, got {type(value).__name__}")
    return array


def _from_bytes(content: Any, dtype: _Dtype, shape: Any, order: Any = "C") -> Array:
    numbers = dtype.resolve()
    raw = content.encode("latin-1") if isinstance(content, str) else bytes(content)
    return np.frombuffer(raw, numbers).reshape(shape, order=order)


def _scalar(dtype: _Dtype, content: Any) -> Array:
    return _from_bytes(content, dtype, ())


def _instance(kind: type[_StandIn], *_arguments: Any) -> _StandIn:
    return kind.__new__(kind)


def _latin1(text: str, _encoding: str = "latin1") -> bytes:
    return text.encode("latin-1")


ADMITTED: dict[str, Callable[..., Any]] = {
    "numpy.ndarray": _Ndarray,
    "numpy.dtype": _Dtype,
    "numpy.core.multiarray._reconstruct": _instance,
    "numpy._core.multiarray._reconstruct": _instance,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _from_bytes,
    "numpy._core.numeric._frombuffer": _from_bytes,
    "copy_reg._reconstructor": _instance,
    "copyreg._reconstructor": _instance,
    "__builtin__.object": _StandIn,
    "builtins.object": _StandIn,
    "__builtin__.set": list,  # chumpy keeps sets, of no interest here
    "builtins.set": list,
    "collections.OrderedDict": dict,
    "_codecs.encode": _latin1,
}
"""What a head model's pickle may name besides `chumpy.*` and scipy's sparse matrices, and what answers instead."""

SPARSE = ("csc_matrix", "csr_matrix", "coo_matrix", "csc_array", "csr_array", "coo_array")


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, path: Path) -> None:
        super().__init__(file, encoding="latin1")
        self.path = path

    def find_class(self, module: str, name: str, /) -> Any:
        origin = f"{module}.{name}"
        if origin in ADMITTED:
            return ADMITTED[origin]
        if origin.startswith("chumpy."):
            return type("Chumpy", (_Chumpy,), {"origin": origin})
        if module.startswith("scipy.sparse.") and name in SPARSE:
            return type("Sparse", (_Sparse,), {"origin": origin})
        raise InputError(
            f"{self.path} holds {origin}, which has no place in a head model; "
            "nothing of it was run, but do not trust this file"
        )


def read_flame_pickle(path: Path, keys: Iterable[str]) -> dict[str, Array]:
    """Arrays of a FLAME `.pkl` by name, those of `keys` that are there; sparse matrices come out dense.

    Raises:
        InputError: the file cannot be read, is damaged, holds a foreign object, or a key is not an array.
    """
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, path).load()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    except InputError:
        raise
    except Exception as error:  # on damaged bytes the pickle machine raises nearly anything
        raise InputError(f"{path} is not a readable pickle ({error}); download the head model again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a dictionary of arrays, got {type(content).__name__}")
    return {key: _member(path, key, content[key]) for key in keys if key in content}


def _member(path: Path, key: str, value: Any) -> Array:
    try:
        return _as_array(value)
    except Exception as error:
        raise InputError(f"{key} in {path} is not a readable array ({error}); download the head model again") from error
