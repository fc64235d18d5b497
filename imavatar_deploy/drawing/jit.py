"""The one way the runtime compiles a loop: numba, without the interpreter's lock, cached beside the source."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def kernel(function: Kernel) -> Kernel:
    """Compile `function` on first call and keep the machine code for later starts.

    No `fastmath`: results stay the same on any number of threads, and shared edges rest on exact negation.
    No `parallel`: `workers.Workers` splits the ranges, so that one pool owns the cores.
    """
    try:
        return cast(Kernel, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:  # nowhere to keep the code: a read-only installation, and no home
        return cast(Kernel, numba.njit(nogil=True, error_model="numpy")(function))
