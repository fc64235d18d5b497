"""Durations as users write them, read as seconds."""

from __future__ import annotations

import pytest

from imavatar_deploy.cli.options import seconds_of
from imavatar_deploy.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("16.7ms", 0.0167), ("2s", 2), ("0.5", 0.5), ("30min", 1800), ("1h", 3600), (" 4 s", 4)],
)
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "ms", "-1s", "1 fortnight", "nan", "1e3", "2:30"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="a duration is like"):
        seconds_of(text)
