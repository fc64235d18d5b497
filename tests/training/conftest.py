"""Fixtures of the training tests: head model, a synthetic subject and a pool of its samples."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training import synthesise
from imavatar_deploy.training.synthetic import SUBJECTS
from imavatar_deploy.training.synthetic.hair_and_clothes import with_hair_and_clothes
from imavatar_deploy.training.synthetic.skin_and_hair_colours import with_colours
from imavatar_deploy.training.warm_start.head_surface import HeadSurface
from imavatar_deploy.training.warm_start.sample_pool import SamplePool

from .filmed import FOCAL, FRAMES, SIDE, SIZE, call, encode, images_of


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


@pytest.fixture(scope="session")
def filmed_subject(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Male1 in a few small frames, with his masks and labels."""
    folder = tmp_path_factory.mktemp("subject") / "male1"
    synthesise("male1", folder, frames=FRAMES, size=SIDE, subdivisions=1)
    return folder


@pytest.fixture(scope="session")
def filmed_clip(filmed_subject: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The video of these frames."""
    return encode(images_of(filmed_subject), tmp_path_factory.mktemp("clip") / "me.mp4")


@pytest.fixture(scope="session")
def filmed_run(filmed_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The dataset that `imavatar-data track` makes of this video, and the command's result."""
    out = tmp_path_factory.mktemp("run") / "me"
    options = ["--size", SIZE, "--focal", FOCAL, "--i-may-use-this-face"]
    return out, call(filmed_clip, "--out", out, *options)
