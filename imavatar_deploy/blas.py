"""BLAS threads of numpy: `single_threaded_blas` for work on many small matrices.

BLAS divides a product of a few million operations among all cores. Its threads spin while they wait
for one another, which takes more time than the product where other threads want the cores: a fit of
one frame takes 4 ms of processor time with one thread and 30 ms with two.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

FUNCTIONS = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
)
"""Functions that return and set the number of threads, in the libraries that numpy is built with:
OpenBLAS in numpy's wheels and in distributions, MKL in conda's."""


@dataclass(frozen=True)
class BlasThreads:
    """The number of threads of numpy's BLAS."""

    count: Callable[[], int]
    limit: Callable[[int], None]


def blas_threads() -> BlasThreads | None:
    """Return the functions of numpy's BLAS; None where it has none of `FUNCTIONS`."""
    try:
        library = ctypes.CDLL(import_module("numpy.linalg._umath_linalg").__file__)
    except (ImportError, OSError):
        return None
    for getter, setter in FUNCTIONS:
        if hasattr(library, getter) and hasattr(library, setter):
            set_threads = getattr(library, setter)
            set_threads.argtypes = [ctypes.c_int]
            return BlasThreads(getattr(library, getter), set_threads)
    return None


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Let BLAS use one thread in this context, in all threads of the process.

    Where the library of numpy cannot be asked, nothing changes.
    """
    threads = blas_threads()
    if threads is None:
        yield
        return
    before = threads.count()
    threads.limit(1)
    try:
        yield
    finally:
        threads.limit(before)
