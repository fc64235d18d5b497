"""VMC protocol: Unity's axes, both spellings, bundles in bundles, presets."""

from __future__ import annotations

import struct
import sys

import numpy as np
import pytest

from imavatar_deploy.errors import InputError, MissingDependencyError
from imavatar_deploy.retarget.arkit import ARKIT_NAMES
from imavatar_deploy.runtime.sources import open_source
from imavatar_deploy.runtime.sources.observation import Observation
from imavatar_deploy.runtime.sources.vmc import PROTOCOL

from .situations import (
    DOWN,
    EYES_LEFT,
    TILTED,
    TURNED,
    VMC_FRAME,
    assert_gaze,
    assert_head,
    moved,
    osc,
    osc_packet,
    vmc_bone,
)

APPLY = ("/VMC/Ext/Blend/Apply",)


def observed(*messages: tuple[object, ...]) -> Observation:
    (observation,) = PROTOCOL.parser()(osc_packet(*messages, APPLY))
    return observation


def shapes(observation: Observation) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in zip(ARKIT_NAMES, observation.weights, strict=True)
        if value
    }


@pytest.mark.parametrize(
    ("bones", "situation"),
    [
        ([], "straight"),
        ([vmc_bone("Head", (0, 1, 0), -30)], TURNED),
        ([vmc_bone("Neck", (0, 1, 0), -10), vmc_bone("Head", (0, 1, 0), -20)], TURNED),
        ([vmc_bone("Head", (1, 0, 0), 20)], DOWN),
        ([vmc_bone("Neck", (0, 0, 1), 10), vmc_bone("Hips", (0, 1, 0), 90)], TILTED),
    ],
)
def test_head(bones: list[tuple[object, ...]], situation: str) -> None:
    """Unity: +y turns the nose to the avatar's right, +x the chin down, +z the crown left."""
    assert_head(observed(*bones), situation)


def test_neck_comes_before_head() -> None:
    """A head turned left on a neck that leans forward: the nose goes left along the lean."""
    observation = observed(vmc_bone("Neck", (1, 0, 0), 90), vmc_bone("Head", (0, 1, 0), -90))
    np.testing.assert_allclose(moved(observation, 0, (0, 0, 1)), (1, 0, 0), atol=1e-5)
    np.testing.assert_allclose(moved(observation, 0, (0, 1, 0)), (0, 0, 1), atol=1e-5)


def test_eyes_look_left() -> None:
    observation = observed(
        vmc_bone("LeftEye", (0, 1, 0), -15), vmc_bone("RightEye", (0, 1, 0), -15)
    )
    assert_gaze(observation, EYES_LEFT)


@pytest.mark.parametrize("spell", [str, lambda name: name[0].upper() + name[1:]])
def test_both_spellings_of_perfect_sync(spell: type[str]) -> None:
    observation = observed(
        *(("/VMC/Ext/Blend/Val", spell(name), place / 60) for place, name in enumerate(ARKIT_NAMES))
    )
    np.testing.assert_allclose(observation.weights, np.arange(52) / 60, atol=1e-6)


def test_names_are_case_sensitive_and_the_unknown_is_ignored() -> None:
    observation = observed(
        ("/VMC/Ext/Blend/Val", "JAWOPEN", 1.0),
        ("/VMC/Ext/Blend/Val", "BestHat", 1.0),
        ("/VMC/Ext/Blend/Val", "jawOpen", 0.5, "further", 7),
        ("/VMC/Ext/Something/New", "jawOpen"),
        ("/VMC/Ext/Midi/CC/Val", 1, 0.5),
    )
    assert shapes(observation) == {"jawOpen": 0.5}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("A", {"jawOpen"}),
        ("oh", {"jawOpen", "mouthFunnel"}),
        ("Blink", {"eyeBlinkLeft", "eyeBlinkRight"}),
        ("BLINK_L", {"eyeBlinkLeft"}),
        ("blinkRight", {"eyeBlinkRight"}),
        (
            "Joy",
            {
                f"{name}{side}"
                for name in ("mouthSmile", "cheekSquint", "eyeSquint")
                for side in ("Left", "Right")
            },
        ),
        ("Neutral", set()),
    ],
)
def test_presets_stand_in_for_perfect_sync(name: str, expected: set[str]) -> None:
    assert shapes(observed(("/VMC/Ext/Blend/Val", name, 1.0))).keys() == expected


def test_presets_are_left_out_beside_perfect_sync() -> None:
    observation = observed(
        ("/VMC/Ext/Blend/Val", "Blink", 1.0), ("/VMC/Ext/Blend/Val", "mouthLeft", 0.5)
    )
    assert shapes(observation) == {"mouthLeft": 0.5}


def test_shapes_wait_for_apply_and_stay_until_they_are_sent_again() -> None:
    parse = PROTOCOL.parser()
    assert parse(osc("/VMC/Ext/Blend/Val", "jawOpen", 0.5).build().dgram) == []
    assert parse(osc("/VMC/Ext/T", 3.5).build().dgram) == []
    (first,) = parse(osc(*APPLY).build().dgram)
    assert parse(osc("/VMC/Ext/Blend/Val", "mouthLeft", 0.25).build().dgram) == []
    (second,) = parse(osc(*APPLY).build().dgram)
    assert shapes(first) == {"jawOpen": 0.5}
    assert shapes(second) == {"jawOpen": 0.5, "mouthLeft": 0.25}
    assert (first.time, second.time) == (3.5, None)
    assert shapes(PROTOCOL.parser()(osc(*APPLY).build().dgram)[0]) == {}, "another sender"


def head_bone(angle: float) -> tuple[object, ...]:
    return vmc_bone("Head", (0, 1, 0), angle)


def test_without_apply_a_face_ends_where_a_name_comes_again() -> None:
    parse = PROTOCOL.parser()
    faces = []
    for number in range(4):
        for message in (
            ("/VMC/Ext/Blend/Val", "A", 0.25 * number),
            head_bone(10.0 * number),
            ("/VMC/Ext/Blend/Val", "Blink_L", 0.0),
        ):
            faces += parse(osc(*message).build().dgram)
    assert len(faces) == 2, "the first shows that there is no Apply, the fourth has not ended"
    for number, face in enumerate(faces, 1):
        assert shapes(face) == pytest.approx({"jawOpen": 0.15 * number})
        turned = -np.radians(10.0 * number)
        np.testing.assert_allclose(face.pose[:3], [0, turned, 0], atol=1e-6)


def test_without_apply_a_face_ends_with_its_bundle_once_that_is_known() -> None:
    parse = PROTOCOL.parser()
    bundles = [
        osc_packet(("/VMC/Ext/Blend/Val", "jawOpen", 0.1 * number), head_bone(5.0))
        for number in range(1, 4)
    ]
    assert [len(parse(bundle)) for bundle in bundles] == [0, 1, 1]
    (face,) = parse(osc_packet(("/VMC/Ext/Blend/Val", "jawOpen", 0.5)))
    assert shapes(face) == {"jawOpen": 0.5}


def test_after_an_apply_nothing_else_ends_a_face() -> None:
    parse = PROTOCOL.parser()
    assert len(parse(osc(*APPLY).build().dgram)) == 1
    for _ in range(3):
        assert parse(osc("/VMC/Ext/Blend/Val", "jawOpen", 0.5).build().dgram) == []
        assert parse(osc_packet(head_bone(5.0), head_bone(5.0))) == []


def test_type_tags_are_refused_without_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """python-osc logs each tag that it does not know: 59,000 lines for one datagram."""
    parse = PROTOCOL.parser()
    address = b"/VMC/Ext/Blend/Apply"
    for tags in (b"j" * 59_000, b"f" * 59_000, b"ffj"):
        text = b"," + tags
        packet = address + bytes(4 - len(address) % 4) + text + bytes(4 - len(text) % 4)
        with pytest.raises(InputError, match="at most 64 arguments of known types"):
            parse(packet + bytes(40))
    assert not caplog.records


def test_two_frames_in_one_datagram() -> None:
    assert len(PROTOCOL.parser()(osc_packet(*VMC_FRAME, *VMC_FRAME))) == 2


@pytest.mark.parametrize(
    "message",
    [
        ("/VMC/Ext/Blend/Val", "jawOpen"),
        ("/VMC/Ext/Blend/Val", 1.0, "jawOpen"),
        ("/VMC/Ext/Blend/Val", "jawOpen", float("nan")),
        ("/VMC/Ext/Bone/Pos", "Head", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        ("/VMC/Ext/Bone/Pos", "Head", 1.0),
        ("/VMC/Ext/T", "noon"),
        ("/VMC/Ext/T",),
    ],
)
def test_broken_messages_are_refused(message: tuple[object, ...]) -> None:
    with pytest.raises(InputError):
        PROTOCOL.parser()(osc_packet(message, APPLY))


@pytest.mark.parametrize("size", [-4, -1, 0, 8, 2**31 - 1])
def test_a_bundle_that_lies_about_its_size_ends(size: int) -> None:
    """python-osc's own reader of bundles does not end on a size of -4."""
    with pytest.raises(InputError, match="holds an element of"):
        PROTOCOL.parser()(b"#bundle\0" + bytes(8) + struct.pack(">i", size) + b"/x\0\0")


def test_bundles_in_bundles_have_an_end() -> None:
    packet = osc(*APPLY).build().dgram
    for _ in range(1000):
        packet = b"#bundle\0" + bytes(8) + struct.pack(">i", len(packet)) + packet
    with pytest.raises(InputError, match="must begin with"):
        PROTOCOL.parser()(packet)


def test_without_python_osc_there_is_one_sentence_before_any_packet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pythonosc.osc_message", None)
    with (
        pytest.raises(MissingDependencyError, match=r"imavatar-deploy\[trackers\]"),
        open_source("osc://:0"),
    ):
        pytest.fail("it listened")
