"""Work on frames in threads: results keep the order of the frames, and errors arrive."""

from __future__ import annotations

import threading
import time

import pytest

from imavatar_deploy.training.tracking.lookahead import WAITING, in_order


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_the_order_of_the_items(threads: int) -> None:
    def slow_at_first(item: int) -> int:
        time.sleep(0.01 if item % 3 == 0 else 0.0)
        return item * item

    assert list(in_order(slow_at_first, range(20), threads=threads)) == [i * i for i in range(20)]
    assert list(in_order(slow_at_first, [], threads=threads)) == []


def test_work_runs_beside_the_caller_and_not_far_ahead() -> None:
    begun = []

    def note(item: int) -> str:
        begun.append(item)
        return threading.current_thread().name

    results = in_order(note, range(100))
    assert next(results) != threading.current_thread().name
    assert len(begun) <= WAITING + 1
    results.close()  # type: ignore[attr-defined]


def test_an_error_comes_in_place_of_its_result() -> None:
    def fail_at_3(item: int) -> int:
        if item == 3:
            raise ArithmeticError("frame 3")
        return item

    results = in_order(fail_at_3, range(100), threads=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ArithmeticError, match="frame 3"):
        next(results)
