"""Fixtures of the training tests: head model, a synthetic subject and a pool of its samples."""

from __future__ import annotations

import pytest

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training.synthetic import SUBJECTS
from imavatar_deploy.training.synthetic.hair_and_clothes import with_hair_and_clothes
from imavatar_deploy.training.synthetic.skin_and_hair_colours import with_colours
from imavatar_deploy.training.warm_start.head_surface import HeadSurface
from imavatar_deploy.training.warm_start.sample_pool import SamplePool


@pytest.fixture(autouse=True, scope="session")
def _small_networks(one_thread: None) -> None:
    """Every test of this room runs on one thread."""


@pytest.fixture(scope="session")
def openhead() -> HeadModel:
    return HeadModel.load("openhead")


@pytest.fixture(scope="session")
def subject(openhead: HeadModel) -> HeadSurface:
    """Female1 with hair, clothes and colours, without individual variation and her bob."""
    anchors = HeadSurface.from_head(openhead).rest
    return with_colours(
        with_hair_and_clothes(
            HeadSurface.from_head(openhead.for_subject(SUBJECTS["female1"].shape)), anchors
        ),
        anchors,
    )


@pytest.fixture(scope="session")
def pool(subject: HeadSurface) -> SamplePool:
    return SamplePool.draw(subject, 20_000, seed=0)
