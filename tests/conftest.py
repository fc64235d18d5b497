"""Fixtures shared by every room's tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from .array_checks import install

install()  # before anything of the package is imported

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.rendering.workers import Workers

from .tiny_avatar import tiny_avatar, write_tiny_folder

settings.register_profile("steady", derandomize=True)  # a check that passed passes again; for new examples:
settings.register_profile("wandering")  # HYPOTHESIS_PROFILE=wandering pytest
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of data computed by the official IMavatar code; tests that need it skip without it."""
    if not REFERENCE.is_dir():
        pytest.skip("the reference data (../shared/reference) is not beside this checkout")
    return REFERENCE


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """Torch on one thread: networks as small as the tests' spend their time in waking threads."""
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
    """Shared by all tests: do not write into it."""
    return write_tiny_folder(tmp_path_factory.mktemp("avatars") / "tiny")


@pytest.fixture
def own_avatar_folder(tmp_path: Path) -> Path:
    """A tiny avatar folder of a test's own, to spoil."""
    return write_tiny_folder(tmp_path / "avatar")
