"""Fixtures for the tests of `imavatar_deploy.head_fit`."""

from __future__ import annotations

import pytest

from imavatar_deploy.head_model import HeadModel


@pytest.fixture(scope="session")
def openhead() -> HeadModel:
    return HeadModel.load("openhead")
