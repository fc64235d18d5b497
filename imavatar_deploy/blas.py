"""`single_threaded_blas`, for work on many small matrices.

BLAS divides a product of a few million operations among all cores. Its threads spin while they wait
for one another, which takes more time than the product where other threads want the cores: a fit of
one frame takes 4 ms of processor time with one thread and 30 ms with two.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Let every BLAS library use one thread in this context, in all threads of the process."""
    with threadpool_limits(1, user_api="blas"):
        yield
