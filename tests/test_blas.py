"""BLAS threads: one within the context, as many as before after it."""

from __future__ import annotations

import pytest

from imavatar_deploy import blas
from imavatar_deploy.blas import blas_threads, single_threaded_blas


def test_one_thread_within_the_context_alone() -> None:
    threads = blas_threads()
    if threads is None:
        pytest.skip("numpy's BLAS states no number of threads here")
    before = threads.count()
    threads.limit(2)
    try:
        with single_threaded_blas():
            assert threads.count() == 1
        assert threads.count() == 2
        with pytest.raises(ArithmeticError), single_threaded_blas():
            raise ArithmeticError
        assert threads.count() == 2
    finally:
        threads.limit(before)


def test_an_unknown_library_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "FUNCTIONS", (("no_such_getter", "no_such_setter"),))
    assert blas_threads() is None
    with single_threaded_blas():
        pass
