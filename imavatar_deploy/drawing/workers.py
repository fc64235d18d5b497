"""Workers: the runtime's own threads, which split a range among them and sleep in between."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import TracebackType

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
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
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
