"""BLAS threads: one within the context, as many as before after it."""

from __future__ import annotations

import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from imavatar_deploy.blas import single_threaded_blas


def threads() -> set[int]:
    """Numbers of threads of the BLAS libraries of this process."""
    libraries = ThreadpoolController().select(user_api="blas").info()
    return {int(library["num_threads"]) for library in libraries}


def test_one_thread_within_the_context_alone() -> None:
    if not threads():
        pytest.skip("numpy's BLAS states no number of threads here")
    with threadpool_limits(2, user_api="blas"):
        with single_threaded_blas():
            assert threads() == {1}
        assert threads() == {2}
        with pytest.raises(ArithmeticError), single_threaded_blas():
            raise ArithmeticError
        assert threads() == {2}
