"""Fixtures and time limits of all tests."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from .array_checks import install

install()  # before anything of the package is imported

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.rendering.workers import Workers

from .tiny_avatar import tiny_avatar, write_tiny_folder

# The same examples in every run; for new examples: HYPOTHESIS_PROFILE=wandering pytest
settings.register_profile("steady", derandomize=True)
settings.register_profile("wandering")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

TEST_LIMIT = 1200
"""Seconds for each of a test's setup, call and teardown."""
EXIT_LIMIT = 120
"""Seconds for the interpreter to end after the last test."""

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, and leave what then exists out of its passes.

    Modules and tests live to the end. To look for garbage in them takes a third of the collection,
    and a part of every later pass.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold a slow test, so that no process is left with one at the end.

    The order of the other files, and of the tests in a file, stays.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def out_of_time(number: int, frame: object) -> None:
    """Fail the test that the main thread runs; the handler of SIGALRM."""
    faulthandler.dump_traceback(sys.stderr)
    pytest.fail(f"not finished after {TEST_LIMIT} s; the stacks of all threads are in stderr")


@contextmanager
def limited() -> Iterator[None]:
    """Fail a test that exceeds `TEST_LIMIT`.

    Without SIGALRM (Windows), only `faulthandler_timeout` applies.
    """
    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(TEST_LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    with limited():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    with limited():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, object, object]:
    with limited():
        return (yield)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Print the stacks of threads that keep the interpreter from ending, and end it.

    A worker of pytest-xdist waits for the others after its last test, so it is left out.
    """
    if hasattr(config, "workerinput"):
        return
    faulthandler.dump_traceback_later(EXIT_LIMIT, exit=True)


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of data computed by the official IMavatar code; tests that need it skip without."""
    if not REFERENCE.is_dir():
        pytest.skip("the reference data (../shared/reference) is not beside this checkout")
    return REFERENCE


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """Run torch on one thread: small networks are slower on several."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=[1, 2, 3], ids="{} threads".format)
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    with Workers(request.param) as workers:
        yield workers


@pytest.fixture(scope="session")
def avatar() -> Avatar:
    return tiny_avatar()


@pytest.fixture(scope="session")
def tiny_avatar_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny avatar folder, shared by all tests: do not write into it."""
    return write_tiny_folder(tmp_path_factory.mktemp("avatars") / "tiny")


@pytest.fixture
def own_avatar_folder(tmp_path: Path) -> Path:
    """A tiny avatar folder that a test may damage."""
    return write_tiny_folder(tmp_path / "avatar")
