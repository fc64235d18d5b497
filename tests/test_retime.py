"""Tracks at another frame rate: expressions blend, and bones rotate the shorter way."""

from __future__ import annotations

import numpy as np
import pytest

from imavatar_deploy.errors import UsageError
from imavatar_deploy.kinematics import rotations
from imavatar_deploy.tracks import FlameTrack, read_track
from imavatar_deploy.tracks.edit import retimed


def turning(*angles: float) -> FlameTrack:
    """A track in which the neck rotates about +Y and the first expression increases with it."""
    expression = np.zeros((len(angles), 50))
    pose = np.zeros((len(angles), 15))
    expression[:, 0] = angles
    pose[:, 4] = angles
    return FlameTrack(expression, pose, fps=10)


def test_ticks_on_frames_are_those_frames() -> None:
    talk = read_track("talk")
    double = retimed(talk, 2 * talk.fps)
    assert (len(double), double.fps) == (2 * len(talk) - 1, 2 * talk.fps)
    assert np.array_equal(double.pose[::2], talk.pose)
    assert np.array_equal(double.expression[::2], talk.expression)
    assert double.names[:4] == (talk.names[0], talk.names[0], talk.names[1], talk.names[1])
    assert np.array_equal(retimed(double, talk.fps).pose, talk.pose)
    assert retimed(talk, talk.fps) is talk


def test_between_frames_expressions_blend_and_bones_turn_evenly() -> None:
    track = retimed(turning(0.0, 1.2), 40)
    assert np.allclose(track.expression[:, 0], [0, 0.3, 0.6, 0.9, 1.2], atol=1e-6)
    assert np.allclose(track.pose[:, 4], [0, 0.3, 0.6, 0.9, 1.2], atol=1e-6)


def test_bones_take_the_shorter_way() -> None:
    track = retimed(turning(3.0, -3.0), 20)
    assert abs(track.pose[1, 4]) == pytest.approx(np.pi, abs=1e-4)


def test_two_axes_meet_in_the_middle_of_the_arc() -> None:
    pose = np.zeros((2, 15))
    pose[0, 6] = 1.0
    pose[1, 7] = 0.8
    middle = retimed(FlameTrack(np.zeros((2, 50)), pose, fps=10), 20).pose[1]
    ends = rotations(pose.astype(np.float32))[:, 2]
    between = rotations(middle)[2]
    angles = [np.arccos((np.trace(end.T @ between) - 1) / 2) for end in ends]
    assert angles[0] == pytest.approx(angles[1], abs=1e-3)
    assert sum(angles) == pytest.approx(
        np.arccos((np.trace(ends[0].T @ ends[1]) - 1) / 2), abs=1e-3
    )


def test_a_slower_rate_ends_before_the_motion_does() -> None:
    assert retimed(turning(*range(8)), 3).expression[:, 0].tolist() == pytest.approx(
        [0, 10 / 3, 20 / 3]
    )
    assert len(retimed(turning(1.0), 60)) == 1


@pytest.mark.parametrize("fps", [0.0, -1.0, 1001.0, float("nan")])
def test_impossible_rates_are_refused(fps: float) -> None:
    with pytest.raises(UsageError, match="--fps must be more than 0 and at most 1000"):
        retimed(turning(0.0, 1.0), fps)
