"""iFacialMocap: text of both versions in any order, and the maker's own example."""

from __future__ import annotations

import numpy as np
import pytest

from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget.arkit import ARKIT_NAMES
from imavatar_deploy.runtime.sources.ifacialmocap import PROTOCOL
from imavatar_deploy.runtime.sources.observation import Observation

from .situations import (
    DOWN,
    EYES_LEFT,
    IFACIALMOCAP,
    TILTED,
    TURNED,
    assert_gaze,
    assert_head,
    moved,
)


def observed(text: str) -> Observation:
    (observation,) = PROTOCOL.parser()(text.encode())
    return observation


def shapes(observation: Observation) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in zip(ARKIT_NAMES, observation.weights, strict=True)
        if value
    }


@pytest.mark.parametrize(
    ("angles", "situation"),
    [("0,0,0", "straight"), ("0,30,0", TURNED), ("20,0,0", DOWN), ("0,0,-10", TILTED)],
)
def test_head(angles: str, situation: str) -> None:
    assert_head(observed(f"jawOpen-0|=head#{angles},0.1,0.2,0.3|"), situation)


def test_a_whole_packet() -> None:
    observation = observed(IFACIALMOCAP)
    assert shapes(observation) == pytest.approx(
        {"mouthSmileRight": 0.12, "browInnerUp": 0.25, "jawOpen": 0.5}
    )
    assert_head(observation, TURNED)
    assert_gaze(observation, EYES_LEFT)
    assert observation.time is None
    assert observation.sequence is None


def test_the_second_version_and_any_order() -> None:
    observation = observed(
        "=leftEye#0,15,0|rightEye#0,15,0|head#0,30,0,0,0,0|jawOpen&-5|mouthSmile_L&12.5"
        "|tongueOut & 7"
    )
    assert shapes(observation) == pytest.approx({"mouthSmileLeft": 0.125, "tongueOut": 0.07})
    assert_head(observation, TURNED)
    assert_gaze(observation, EYES_LEFT)


def test_the_eyes_of_the_makers_example_squint_at_the_phone() -> None:
    """From ifacialmocap.com: eyes 66 cm from a phone converge, and look down from a raised chin."""
    observation = observed(
        "jawOpen-1|=head#-21.488958,-6.038993,-6.6019735,-0.030653415,-0.10287084,-0.6584072"
        "|rightEye#6.0297494,2.4403017,0.25649446|leftEye#6.034903,-1.6660284,-0.17520553|"
    )
    left, right = (moved(observation, eye, (0, 0, 1)) for eye in (3, 4))
    assert left[0] < 0 < right[0], "towards the nose"
    assert np.degrees(np.arccos(left @ right)) == pytest.approx(4.1, abs=0.1)
    assert left[1] < 0
    assert moved(observation, 0, (0, 0, 1))[1] > 0


def test_every_shape_by_its_name() -> None:
    names = [
        name if name in WHOLE else name.replace("Left", "_L").replace("Right", "_R")
        for name in ARKIT_NAMES
    ]
    text = "|".join(f"{name}-{place}" for place, name in enumerate(names))
    np.testing.assert_allclose(observed(text).weights, np.arange(52) / 100, atol=1e-6)


WHOLE = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
"""Shapes whose side is a direction, which iFacialMocap spells out."""


def test_what_is_left_out_stays_as_it_was() -> None:
    parse = PROTOCOL.parser()
    parse(b"jawOpen-50|mouthLeft-20|=head#0,30,0,0,0,0|")
    (observation,) = parse(b"jawOpen-40|")
    assert shapes(observation) == pytest.approx({"jawOpen": 0.4, "mouthLeft": 0.2})
    assert_head(observation, TURNED)


def test_without_a_face_there_is_nothing() -> None:
    assert PROTOCOL.parser()(b"jawOpen-50|trackingStatus-0|=head#0,30,0,0,0,0|") == []


def test_hello_is_that_of_the_vendor_s_documentation() -> None:
    assert PROTOCOL.hello == b"iFacialMocap_sahuasouryya9218sauhuiayeta91555dy3719"


@pytest.mark.parametrize(
    ("packet", "sentence"),
    [
        (b"", "name ARKit's shapes"),
        (b"hello", "name ARKit's shapes"),
        (b"jawOpen-\xff", "must be text"),
        (b"jawOpen-wide", "must hold numbers"),
        (b"jawOpen&", "must hold numbers"),
        (b"=head#1,2|", "must hold 3 numbers"),
        (b"jawOpen-nan", "finite"),
        (b"=head#inf,0,0|", "finite"),
    ],
)
def test_broken_packets_are_refused(packet: bytes, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        PROTOCOL.parser()(packet)
