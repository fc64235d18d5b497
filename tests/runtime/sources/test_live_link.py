"""Live Link Face: order of shapes, signs of Unreal's conversion, packets without a face."""

from __future__ import annotations

from math import radians

import numpy as np
import pytest
from pylivelinkface import FaceBlendShape, PyLiveLinkFace

from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget.arkit import ARKIT_NAMES
from imavatar_deploy.runtime.sources.live_link import parse

from .situations import DOWN, EYES_LEFT, TILTED, TURNED, assert_gaze, assert_head, live_link_packet

YAW, PITCH, ROLL, LEFT_YAW, RIGHT_YAW = 52, 53, 54, 55, 58


def packet(**degrees: float) -> bytes:
    values = [0.0] * 61
    for name, angle in degrees.items():
        values[globals()[name]] = radians(angle)
    return live_link_packet(values)


@pytest.mark.parametrize(
    ("degrees", "situation"),
    [({}, "straight"), ({"YAW": -30}, TURNED), ({"PITCH": 20}, DOWN), ({"ROLL": 10}, TILTED)],
)
def test_head(degrees: dict[str, float], situation: str) -> None:
    (observation,) = parse(packet(**degrees))
    assert_head(observation, situation)


def test_eyes_look_left() -> None:
    (observation,) = parse(packet(LEFT_YAW=-15, RIGHT_YAW=-15))
    assert_gaze(observation, EYES_LEFT)
    assert_head(observation, "straight")


def test_unreals_own_conversion_is_undone() -> None:
    """Rotations survive the quaternion and the FRotator of Unreal's sources."""
    from scipy.spatial.transform import Rotation

    for x, y, z, w in Rotation.random(20, rng=5).as_quat():
        a, b, c, d = -z, x, y, -w  # AppleARKitConversion.h
        pitch = np.arcsin(np.clip(2 * (c * a - d * b), -1, 1))  # FQuat::Rotator()
        yaw = np.arctan2(2 * (d * c + a * b), 1 - 2 * (b * b + c * c))
        roll = np.arctan2(-2 * (d * a + b * c), 1 - 2 * (a * a + b * b))
        (observation,) = parse(live_link_packet([0.0] * 52 + [yaw, pitch, roll] + [0.0] * 6))
        np.testing.assert_allclose(
            Rotation.from_rotvec(observation.pose[:3]).as_matrix(),
            Rotation.from_quat([x, y, z, w]).as_matrix(),
            atol=2e-4,  # near +-90 degrees of pitch float32 loses digits
        )


def test_time_is_the_frame_over_the_rate() -> None:
    for frame, time in (
        ((90, 0.5, 60, 1), 90.5 / 60),
        ((100, 0.0, 30000, 1001), 100 * 1001 / 30000),
        ((90, 0.5, 30, 0), None),
        ((90, float("nan"), 60, 1), None),
    ):
        (observation,) = parse(live_link_packet([0.0] * 61, frame))
        assert observation.time == pytest.approx(time)
        assert observation.sequence is None


def test_without_a_face_there_is_nothing() -> None:
    whole = live_link_packet([0.0] * 61)
    assert parse(whole[:-245]) == []
    assert parse(whole[: -245 - 16]) == []


@pytest.mark.parametrize("cut", [1, 244, 250, 262])
def test_a_part_of_a_packet_is_refused(cut: int) -> None:
    with pytest.raises(InputError, match="Live Link Face"):
        parse(live_link_packet([0.0] * 61)[:-cut])


def test_other_versions_and_counts_are_refused() -> None:
    with pytest.raises(InputError, match="version 6"):
        parse(b"\x05" + live_link_packet([0.0] * 61)[1:])
    with pytest.raises(InputError, match="61 values"):
        parse(live_link_packet([0.0] * 60))
    with pytest.raises(InputError, match="finite"):
        parse(live_link_packet([0.0] * 60 + [float("inf")]))


@pytest.mark.parametrize("fps", [30, 60])
def test_pylivelinkface_is_understood(fps: int) -> None:
    """A third-party sender: every shape by its name, and the head."""
    sender = PyLiveLinkFace(name="other", fps=fps)
    for place, name in enumerate(ARKIT_NAMES):
        sender.set_blendshape(
            FaceBlendShape[name[0].upper() + name[1:]], place / 60, no_filter=True
        )
    sender.set_blendshape(FaceBlendShape.HeadYaw, radians(-30), no_filter=True)
    sender.set_blendshape(FaceBlendShape.LeftEyeYaw, radians(-15), no_filter=True)
    sender.set_blendshape(FaceBlendShape.RightEyeYaw, radians(-15), no_filter=True)
    (observation,) = parse(sender.encode())
    np.testing.assert_allclose(observation.weights, np.arange(52) / 60, atol=1e-6)
    assert_head(observation, TURNED)
    assert_gaze(observation, EYES_LEFT)
