"""The bundled motion: its content, its loop, and its script."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.tracks import FlameTrack, read_track

ROOT = Path(__file__).resolve().parents[1]
JAW_X = 6
NECK_Y = 4


@pytest.fixture(scope="module")
def talk() -> FlameTrack:
    return read_track("talk")


@pytest.fixture(scope="module")
def expression_names() -> list[str]:
    with np.load(ROOT / "imavatar_deploy" / "assets" / "openhead.npz") as head:
        return [str(name) for name in head["expression_names"]]


def test_it_shows_what_it_should(talk: FlameTrack, expression_names: list[str]) -> None:
    reached = dict(zip(expression_names, talk.expression.max(axis=0), strict=True))
    assert talk.edition == "openhead"
    assert 8.0 <= len(talk) / talk.fps <= 12.0
    assert talk.expression.min() >= 0.0
    assert talk.expression.max() <= 1.0
    assert reached["eyeBlinkLeft"] == reached["eyeBlinkRight"] == 1.0
    assert reached["mouthSmileLeft"] > 0.8
    assert reached["browInnerUp"] > 0.8
    assert talk.pose[:, JAW_X].min() >= 0.0
    assert 0.3 <= talk.pose[:, JAW_X].max() <= 0.4
    assert talk.pose[:, NECK_Y].min() < -0.4
    assert talk.pose[:, NECK_Y].max() > 0.4


def test_it_loops_and_never_freezes(talk: FlameTrack) -> None:
    values = np.column_stack([talk.expression, talk.pose])
    steps = np.abs(np.diff(np.vstack([values, values[:1]]), axis=0)).max(axis=1)
    assert steps[-1] < np.median(steps)
    assert steps.min() > 5e-4


def test_it_has_a_camera_that_keeps_the_head_in_the_picture(talk: FlameTrack) -> None:
    corners = np.array([[x, y, 0.3, 1.0] for x in (-0.5, 0.5) for y in (-0.5, 0.65)])
    assert len(talk.cameras) == len(talk)
    for camera in talk.cameras:
        column, row, depth = camera.image_matrix(512, 512) @ corners.T
        assert np.all(
            (column / depth > 0) & (column / depth < 511) & (row / depth > 0) & (row / depth < 511)
        )


def test_it_is_small() -> None:
    assert (ROOT / "imavatar_deploy" / "assets" / "talk.json").stat().st_size < 200_000


def test_the_script_still_makes_it(talk: FlameTrack, expression_names: list[str]) -> None:
    rebuilt = built_by_the_script(expression_names)
    np.testing.assert_allclose(rebuilt.expression, talk.expression, atol=1e-6)
    np.testing.assert_allclose(rebuilt.pose, talk.pose, atol=1e-6)
    np.testing.assert_array_equal(
        rebuilt.cameras[0].world_to_camera, talk.cameras[0].world_to_camera
    )
    assert (rebuilt.fps, rebuilt.edition, rebuilt.names) == (talk.fps, talk.edition, talk.names)


def built_by_the_script(expression_names: list[str]) -> FlameTrack:
    spec: Any = importlib.util.spec_from_file_location(
        "build_talk_track", ROOT / "tools" / "build_talk_track.py"
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    track: FlameTrack = script.build(expression_names)
    return track
