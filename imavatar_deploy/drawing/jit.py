"""The one way the runtime compiles a loop: numba, without the interpreter's lock, cached beside the source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def kernel(function: Kernel) -> Kernel:
    """Compile `function` on first call and keep the machine code for later starts.

    No `fastmath`: results stay the same on any number of threads, and shared edges rest on exact negation.
    No `parallel`: `workers.Workers` splits the ranges, so that one pool owns the cores.
    """
    return _compiled(function)


def fused_kernel(function: Kernel) -> Kernel:
    """`kernel`, in which a product and the sum it goes into may be rounded once: for long sums of products.

    Results stay the same on any number of threads where every range is computed in whole blocks.
    """
    return _compiled(function, fastmath={"contract"})


def _compiled(function: Kernel, **options: Any) -> Kernel:
    try:
        return cast(Kernel, numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function))
    except RuntimeError:  # nowhere to keep the code: a read-only installation, and no home
        return cast(Kernel, numba.njit(nogil=True, error_model="numpy", **options)(function))
