"""Workers cover every index once for any count, and raise errors of kernels."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from imavatar_deploy.errors import UsageError
from imavatar_deploy.rendering.workers import Workers, available_cores


@pytest.mark.parametrize("count", [0, 1, 2, 5, 1000])
def test_every_index_once(count: int, workers: Workers) -> None:
    visits = np.zeros(count, dtype=int)

    def visit(start: int, stop: int, step: int) -> None:
        visits[start:stop] += step

    workers.each(visit, count, 3)
    np.testing.assert_array_equal(visits, 3)


def test_the_caller_works_too(workers: Workers) -> None:
    names = set()
    together = threading.Barrier(workers.threads)

    def visit(start: int, stop: int) -> None:
        together.wait(10)
        names.add(threading.current_thread().name)

    workers.each(visit, 100)
    assert len(names) == workers.threads
    assert threading.current_thread().name in names


@pytest.mark.parametrize("culprit", [0, 99])
def test_errors_come_back(culprit: int, workers: Workers) -> None:
    def visit(start: int, stop: int) -> None:
        if start <= culprit < stop:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        workers.each(visit, 100)


def test_threads_end_with_the_block() -> None:
    before = threading.active_count()
    with Workers(4) as workers:
        workers.each(lambda start, stop: None, 8)
    assert threading.active_count() == before


def test_all_cores_by_default() -> None:
    with Workers() as workers:
        assert workers.threads == available_cores() >= 1


def test_no_threads_is_refused() -> None:
    with pytest.raises(UsageError, match="threads must be between 1 and 256, got 0"):
        Workers(0)
