"""Workers: the runtime's own threads, which split a range among them and sleep in between."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import TracebackType
from typing import Any, TypeVar, cast

import numba

from imavatar_deploy.errors import UsageError


def available_cores() -> int:
    """Cores this process may run on, where the system tells; else all there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


MOST = 256


class Workers:
    """A fixed number of threads for numba kernels; `with` or `close` ends them.

    Pools that spin while idle (OpenMP, ONNX Runtime, BLAS) steal the cores from each other; these wait on a lock.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = available_cores() if threads is None else threads
        if not 1 <= self.threads <= MOST:
            raise UsageError(f"threads must be between 1 and {MOST}, got {threads}")
        self._pool = ThreadPoolExecutor(self.threads - 1, "imavatar") if self.threads > 1 else None

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def each(self, kernel: Callable[..., object], count: int, *arguments: object) -> None:
        """Call `kernel(start, stop, *arguments)` on ranges that together cover [0, count), one range a thread."""
        edges = [count * part // self.threads for part in range(self.threads + 1)]
        ranges = list(pairwise(edges))
        if self._pool is None:
            kernel(*ranges[0], *arguments)
            return
        others = [self._pool.submit(kernel, start, stop, *arguments) for start, stop in ranges[1:]]
        kernel(*ranges[0], *arguments)
        for other in others:
            other.result()


# The one way the runtime compiles a loop: numba, without the interpreter's lock, cached beside the source.


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
        return cast(
            Kernel, numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
        )
    except RuntimeError:  # nowhere to keep the code: a read-only installation, and no home
        return cast(Kernel, numba.njit(nogil=True, error_model="numpy", **options)(function))
