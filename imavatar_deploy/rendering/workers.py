"""Workers: a thread pool that does not spin, for numba kernels, and decorators to compile them."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import TracebackType
from typing import Any, TypeVar, cast

import numba

from imavatar_deploy.errors import UsageError

MAX_THREADS = 256
"""Largest number of threads."""

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def available_cores() -> int:
    """Return the number of cores this process may use, or of all cores if that is unknown."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """A fixed number of threads for numba kernels; `with` or `close` ends them.

    Idle threads wait on a lock. Pools that spin while idle (OpenMP, ONNX Runtime, BLAS) would take
    the cores from each other.

    Args:
        threads: number of threads, the caller's included; by default one per available core.

    Raises:
        UsageError: the number is not in 1..256.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = available_cores() if threads is None else threads
        if not 1 <= self.threads <= MAX_THREADS:
            raise UsageError(f"threads must be between 1 and {MAX_THREADS}, got {threads}")
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
        """Call `kernel(start, stop, *arguments)` on ranges that cover [0, count), one per thread.

        An exception of a kernel is raised again.
        """
        edges = [count * part // self.threads for part in range(self.threads + 1)]
        ranges = list(pairwise(edges))
        if self._pool is None:
            kernel(*ranges[0], *arguments)
            return
        others = [self._pool.submit(kernel, start, stop, *arguments) for start, stop in ranges[1:]]
        kernel(*ranges[0], *arguments)
        for other in others:
            other.result()


def kernel(function: Kernel) -> Kernel:
    """Compile a loop with numba, without the interpreter's lock.

    The machine code is cached beside the source. There is no `fastmath`: results do not depend on
    the number of threads, and shared edges need exact negation. There is no `parallel`: `Workers`
    splits the ranges, so that one pool owns the cores.
    """
    return _compile(function)


def fused_kernel(function: Kernel) -> Kernel:
    """Compile as `kernel`, with fused multiply-add, for long sums of products.

    Results do not depend on the number of threads if every range is computed in whole blocks.
    """
    return _compile(function, fastmath={"contract"})


def _compile(function: Kernel, **options: Any) -> Kernel:
    try:
        return cast(
            Kernel, numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
        )
    except RuntimeError:  # no place for the cache: a read-only installation, and no home folder
        return cast(Kernel, numba.njit(nogil=True, error_model="numpy", **options)(function))
