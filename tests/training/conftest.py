"""A small subject and a pool of samples, made once for the room."""

from __future__ import annotations

import pytest

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training.sample_pool import SamplePool
from imavatar_deploy.training.sample_subject import sample_subject
from imavatar_deploy.training.subject import Subject


@pytest.fixture(autouse=True, scope="session")
def _small_networks(one_thread: None) -> None:
    """Every test of this room runs on one thread."""


@pytest.fixture(scope="session")
def openhead() -> HeadModel:
    return HeadModel.load("openhead")


@pytest.fixture(scope="session")
def subject(openhead: HeadModel) -> Subject:
    return sample_subject(openhead, subdivisions=0)


@pytest.fixture(scope="session")
def pool(subject: Subject) -> SamplePool:
    return SamplePool.draw(subject, 20_000, seed=0)
