"""A small subject and a pool of samples, made once for the room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training.sample_pool import SamplePool
from imavatar_deploy.training.sample_subject import sample_subject
from imavatar_deploy.training.subject import Subject


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Networks this small are fitted faster by one thread than by many that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def openhead() -> HeadModel:
    return HeadModel.load("openhead")


@pytest.fixture(scope="session")
def subject(openhead: HeadModel) -> Subject:
    return sample_subject(openhead, subdivisions=0)


@pytest.fixture(scope="session")
def pool(subject: Subject) -> SamplePool:
    return SamplePool.draw(subject, 20_000, seed=0)
