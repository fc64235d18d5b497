"""Work on frames in threads, whose results come in the order of the frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

WAITING = 4
"""Results for each thread that are computed before they are asked for: each holds pictures."""


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int = 1
) -> Iterator[Result]:
    """Yield `function(item)` of every item in order, computed in threads while the caller works.

    OpenCV, ONNX Runtime and numba let other threads run. An exception of the function is raised
    where its result would come, and later items are not begun.

    Args:
        function: called by several threads at once where `threads` is more than one.
        items: its arguments.
        threads: number of threads, beside the caller's.
    """
    with ThreadPoolExecutor(threads, "frames") as pool:
        pending: deque[Future[Result]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > WAITING * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
