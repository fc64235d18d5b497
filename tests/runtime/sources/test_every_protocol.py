"""Every protocol: for any bytes, a parser returns observations or raises InputError."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget.arkit import ARKIT
from imavatar_deploy.runtime.sources import PROTOCOLS
from imavatar_deploy.runtime.sources.observation import WEIGHTS, Observation
from imavatar_deploy.runtime.sources.source import Parser, Protocol

from .situations import SAMPLES

EVERY = pytest.mark.parametrize("protocol", PROTOCOLS, ids=[row.scheme for row in PROTOCOLS])
SAMPLED = [row for row in PROTOCOLS if row.scheme in SAMPLES]
EVERY_SAMPLED = pytest.mark.parametrize("protocol", SAMPLED, ids=[row.scheme for row in SAMPLED])

EVIL = [struct.pack(">f", value) for value in (np.nan, np.inf, -np.inf, 3.4e38, 1e-45)] + [
    struct.pack(">i", value) for value in (-1, -4, 0, 2**31 - 1, -(2**31), 0x7F800001)
]
"""NaN of both widths, extreme numbers, and counts larger than a packet."""


def survives(parse: Parser, packet: bytes) -> None:
    try:
        observations = parse(packet)
    except InputError:
        return
    for observation in observations:
        assert isinstance(observation, Observation)
        assert np.isfinite(observation.weights).all()
        assert np.isfinite(observation.pose).all()
        assert (
            observation.vocabulary != ARKIT
            or 0 <= observation.weights.min() <= observation.weights.max() <= 1
        )


@EVERY
def test_rows_describe_themselves(protocol: Protocol) -> None:
    assert protocol.scheme.isalnum()
    assert protocol.description
    assert 1024 <= protocol.port < 65536
    assert 0 < protocol.most_bytes <= 65507
    assert protocol.vocabulary is None or protocol.vocabulary in WEIGHTS
    assert (
        len({row.port for row in PROTOCOLS})
        == len({row.scheme for row in PROTOCOLS})
        == len(PROTOCOLS)
    )


@EVERY_SAMPLED
def test_a_whole_packet_is_understood(protocol: Protocol) -> None:
    packet = SAMPLES[protocol.scheme]()
    assert len(packet) <= protocol.most_bytes
    (observation,) = protocol.parser()(packet)
    assert observation.vocabulary == protocol.vocabulary


@EVERY
@settings(max_examples=150, deadline=None)
@given(packet=st.binary(max_size=600))
def test_arbitrary_bytes(protocol: Protocol, packet: bytes) -> None:
    survives(protocol.parser(), packet)


@EVERY_SAMPLED
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_parts_of_a_packet(protocol: Protocol, data: st.DataObject) -> None:
    packet = SAMPLES[protocol.scheme]()
    start, end = sorted(
        (data.draw(st.integers(0, len(packet))), data.draw(st.integers(0, len(packet))))
    )
    survives(protocol.parser(), packet[start:end])
    survives(protocol.parser(), packet[:end])


@EVERY_SAMPLED
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_broken_packets_and_a_whole_one_after_them(protocol: Protocol, data: st.DataObject) -> None:
    parse = protocol.parser()
    whole = SAMPLES[protocol.scheme]()
    packet = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        evil = data.draw(
            st.sampled_from(EVIL)
            | st.sampled_from([value[::-1] for value in EVIL])
            | st.binary(max_size=5)
        )
        place = data.draw(st.integers(0, len(packet) - 1))
        packet[place : place + len(evil)] = evil
    survives(parse, bytes(packet))
    (after,) = parse(whole)
    assert np.isfinite(after.pose).all()


@settings(max_examples=200, deadline=None)
@given(
    text=st.lists(
        st.tuples(
            st.sampled_from(
                ["jawOpen", "mouthSmile_L", "=head", "leftEye", "trackingStatus", "", "ß"]
            ),
            st.sampled_from(["-", "&", "#", ""]),
            st.lists(
                st.sampled_from(["1", "nan", "inf", "1e400", "-7", "٣", "", "1_0", "x"]), max_size=7
            ).map(",".join),
        ).map("".join),
        max_size=6,
    ).map("|".join)
)
def test_text_of_ifacialmocap(text: str) -> None:
    (protocol,) = (row for row in PROTOCOLS if row.scheme == "ifacialmocap")
    survives(protocol.parser(), text.encode())
