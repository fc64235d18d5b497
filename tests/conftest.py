"""Fixtures shared by every room's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of data computed by the official IMavatar code; tests that need it skip without it."""
    if not REFERENCE.is_dir():
        pytest.skip("the reference data (../shared/reference) is not beside this checkout")
    return REFERENCE
