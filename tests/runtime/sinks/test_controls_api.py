"""Commands of the page from untrusted JSON: applied as a whole, or not at all."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imavatar_deploy.errors import ImavatarError
from imavatar_deploy.runtime.sinks.http.controls_api import COMMANDS, FARTHEST_TURN, apply_commands
from imavatar_deploy.runtime.sinks.sink import FARTHEST_PITCH, LARGEST_ZOOM, SMALLEST_ZOOM, Controls

GOOD: dict[str, list[tuple[Any, Controls]]] = {
    "orbit": [
        ([0.5, -0.25], Controls(yaw=0.5, pitch=-0.25)),
        ([1, 6], Controls(yaw=1.0, pitch=FARTHEST_PITCH)),
    ],
    "zoom": [
        (2, Controls(zoom=2.0)),
        (0.1, Controls(zoom=SMALLEST_ZOOM)),
        (10, Controls(zoom=LARGEST_ZOOM)),
    ],
    "pause": [(True, Controls(paused=True)), (False, Controls())],
    "front": [(True, Controls())],
    "calibrate": [(True, Controls(recalibrate=True))],
}

BAD: dict[str, list[str]] = {
    "orbit": [
        "0.5",
        "[1]",
        "[1, 2, 3]",
        "[1, true]",
        '[1, "2"]',
        "[7, 0]",
        "[NaN, 0]",
        "[Infinity, 0]",
        "[1e999, 0]",
    ],
    "zoom": ["0", "-1", "11", "true", '"2"', "[2]", "null", "NaN", "-Infinity", "1" + 400 * "0"],
    "pause": ["1", '"yes"', "null"],
    "front": ["false", "1"],
    "calibrate": ["false", "{}"],
}


def test_every_command_has_examples() -> None:
    assert set(GOOD) == set(BAD) == set(COMMANDS)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [(name, value, done) for name, cases in GOOD.items() for value, done in cases],
)
def test_good_commands_are_applied(name: str, value: Any, expected: Controls) -> None:
    controls = Controls()
    apply_commands(json.dumps({name: value}).encode(), controls)
    assert controls == expected


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, cases in BAD.items() for value in cases]
)
def test_bad_commands_do_nothing_and_neither_does_what_came_with_them(
    name: str, value: str
) -> None:
    other = "pause" if name != "pause" else "calibrate"
    controls = Controls()
    with pytest.raises(ImavatarError):
        apply_commands(f'{{"{other}": true, "{name}": {value}}}'.encode(), controls)
    assert controls == Controls()


def test_an_unknown_command_lists_the_known() -> None:
    with pytest.raises(
        ImavatarError, match="unknown command 'stop': expected one of calibrate, front, orbit"
    ):
        apply_commands(b'{"stop": true}', Controls())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(sorted(COMMANDS)) | st.text(max_size=5)
NEARLY = st.dictionaries(
    NAMES, JSON | st.lists(st.floats(-7, 7), min_size=2, max_size=2) | st.just(True), max_size=3
)
BODIES = (
    st.binary(max_size=60) | (JSON | NEARLY).map(json.dumps).map(str.encode) | st.just(b"[" * 1024)
)


@settings(deadline=None)
@given(BODIES)
def test_any_body_leaves_valid_controls(body: bytes) -> None:
    controls = Controls(yaw=1.0)
    before = asdict(controls)
    try:
        apply_commands(body, controls)
    except ImavatarError:
        assert asdict(controls) == before
    assert {name: type(value) for name, value in asdict(controls).items()} == {
        name: type(value) for name, value in before.items()
    }
    assert math.isfinite(controls.yaw)
    assert abs(controls.yaw) <= 1 + FARTHEST_TURN
    assert abs(controls.pitch) <= FARTHEST_PITCH
    assert SMALLEST_ZOOM <= controls.zoom <= LARGEST_ZOOM
    assert not controls.stopped
