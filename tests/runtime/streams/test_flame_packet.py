"""FLAME over UDP: round trips within the stated error; malformed packets are refused."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.runtime.sources.flame_udp import PROTOCOL, parse
from imavatar_deploy.runtime.sources.observation import WEIGHTS
from imavatar_deploy.runtime.streams import EDITION_CODES, ENCODINGS, decode, encode
from imavatar_deploy.runtime.streams.flame_packet import HEADER, MOST_BYTES, MOST_WEIGHTS

FACE = np.linspace(-1, 1, 50), np.linspace(-0.5, 0.5, 15)
GOOD = encode("openhead", *FACE, time=1.5, sequence=3)

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
poses = arrays(np.float32, 15, elements=floats)
codes = st.integers(1, MOST_WEIGHTS).flatmap(
    lambda count: arrays(np.float32, count, elements=floats)
)
faces = st.one_of(
    st.tuples(st.sampled_from([name for name in EDITION_CODES if name != "arkit52"]), codes),
    st.tuples(st.just("arkit52"), arrays(np.float32, 52, elements=floats)),
)


@settings(max_examples=60, deadline=None)
@given(faces, poses, st.integers(-(2**40), 2**40), st.floats(allow_nan=False, allow_infinity=False))
def test_float32_arrives_bit_for_bit(
    face: tuple[str, np.ndarray], pose: np.ndarray, number: int, time: float
) -> None:
    packet = decode(encode(*face, pose, time=time, sequence=number))
    assert (packet.edition, packet.time, packet.sequence) == (face[0], time, number % 2**32)
    assert packet.weights.tobytes() == face[1].tobytes()
    assert packet.pose.tobytes() == pose.tobytes()


@settings(max_examples=60, deadline=None)
@given(faces, poses)
def test_int16_stays_within_its_documented_error(
    face: tuple[str, np.ndarray], pose: np.ndarray
) -> None:
    packet = decode(encode(*face, pose, time=0.0, encoding="int16"))
    for sent, read in ((face[1], packet.weights), (pose, packet.pose)):
        largest = np.abs(sent).max()
        assert np.abs(read.astype(float) - sent).max() <= max(1.6e-5 * largest, 1e-30)


def test_sizes_are_those_of_the_help() -> None:
    assert [len(encode("openhead", *FACE, time=0.0, encoding=name)) for name in ENCODINGS] == [
        296,
        166,
    ]
    assert (
        len(encode("flame2023", np.zeros(MOST_WEIGHTS), np.zeros(15), time=0.0)) == 496 < MOST_BYTES
    )


def test_editions_are_those_that_the_player_knows() -> None:
    assert EDITION_CODES.keys() == WEIGHTS.keys()
    assert len(set(EDITION_CODES.values())) == len(EDITION_CODES)


@pytest.mark.parametrize("edition", EDITION_CODES)
def test_every_edition_is_observed(edition: str) -> None:
    weights = np.linspace(0, 1, WEIGHTS[edition], dtype=np.float32)
    (observation,) = parse(encode(edition, weights, FACE[1], time=2.5, sequence=9))
    assert (observation.vocabulary, observation.time, observation.sequence) == (edition, 2.5, 9)
    np.testing.assert_array_equal(observation.weights, weights)
    np.testing.assert_array_equal(observation.pose, FACE[1].astype(np.float32))


@pytest.mark.parametrize("count", [1, 49, 50, 51, 100])
def test_code_of_another_length_is_taken_from_its_beginning(count: int) -> None:
    (observation,) = parse(encode("flame2023", np.ones(count), np.zeros(15), time=0.0))
    np.testing.assert_array_equal(observation.weights, np.arange(50) < count)


def test_no_face_is_no_observation() -> None:
    packet = encode("openhead", [], [], time=1.0)
    assert len(packet) == 36
    assert parse(packet) == ()


def sealed(packet: bytes, at: int, content: bytes) -> bytes:
    """The packet with some bytes replaced and a matching checksum, as from a faulty sender."""
    changed = packet[:at] + content + packet[at + len(content) : -4]
    return changed + struct.pack("<I", zlib.crc32(changed))


INFINITE, NAN = struct.pack("<f", np.inf), struct.pack("<f", np.nan)


@pytest.mark.parametrize(
    ("packet", "message"),
    [
        (b"", "got 0 bytes"),
        (GOOD[:35], "got 35 bytes"),
        (sealed(GOOD, 0, b"FLMT"), "begins with b'FLMS'"),
        (sealed(GOOD, 4, b"\2"), "version 1, got 2"),
        (sealed(GOOD, 5, b"\2"), "unknown kind"),
        (sealed(GOOD, 6, b"\0"), "unknown kind"),
        (sealed(GOOD, 6, b"\x1f"), "unknown kind"),
        (sealed(GOOD, 11, b"\1"), "unknown kind"),
        (sealed(GOOD, 6, b"\x20"), "arkit52 cannot have 50 weights"),
        (sealed(GOOD, 7, b"\x65"), "cannot have 101 weights"),
        (sealed(GOOD, 7, b"\0"), "cannot have 0 weights and 15"),
        (sealed(GOOD, 8, b"\6"), "50 weights and 6 pose"),
        (sealed(GOOD, 7, b"\x33"), "must have 300 bytes, got 296"),
        (GOOD[:-1], "must have 296 bytes, got 295"),
        (GOOD + b"\0", "must have 296 bytes, got 297"),
        (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), "checksum"),
        (sealed(GOOD, 16, struct.pack("<d", np.inf)), "finite"),
        (sealed(GOOD, 24, INFINITE), "finite"),
        (sealed(GOOD, 28, NAN), "finite"),
        (sealed(GOOD, 32, NAN), "finite"),
        (sealed(GOOD, 288, INFINITE), "finite"),
        (sealed(GOOD, 32, b"\1\0\x80\x7f"), "finite"),
        (sealed(GOOD, 24, struct.pack("<f", 3e38)), None),
        (
            sealed(
                encode("openhead", *FACE, time=0.0, encoding="int16"), 24, struct.pack("<f", 3e38)
            ),
            "finite",
        ),
    ],
)
def test_packets_against_the_rules_are_dropped(packet: bytes, message: str | None) -> None:
    if message is None:
        assert decode(packet).weights[0] == -np.float32(3e38)
        return
    with pytest.raises(InputError, match=message):
        decode(packet)


def test_every_flipped_bit_is_found() -> None:
    for place in range(8 * len(GOOD)):
        flipped = bytearray(GOOD)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(InputError):
            decode(bytes(flipped))


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=600),
        st.binary(max_size=600).map(lambda end: sealed(GOOD[:4] + end + bytes(4), 4, b"\1")),
    )
)
def test_any_bytes_are_read_or_refused(packet: bytes) -> None:
    try:
        (*_, observation) = parse(packet) or (None,)
    except InputError:
        return
    assert observation is None or observation.weights.shape == (WEIGHTS[observation.vocabulary],)


@settings(max_examples=300, deadline=None)
@given(st.integers(4, HEADER.size - 1), st.binary(min_size=1, max_size=8))
def test_any_header_is_read_or_refused(place: int, content: bytes) -> None:
    try:
        packet = decode(sealed(GOOD, place, content))
    except InputError:
        return
    assert np.isfinite(packet.weights).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"edition": "flame2021"}, UsageError, "unknown edition 'flame2021'"),
        ({"encoding": "float16"}, UsageError, "unknown encoding 'float16'"),
        ({"time": float("nan")}, UsageError, "must be finite"),
        ({"weights": np.zeros(101)}, InputError, "cannot have 101 weights and 15 pose"),
        ({"pose": np.zeros(12)}, InputError, "cannot have 50 weights and 12 pose"),
        ({"weights": np.full(50, np.nan)}, InputError, "weights must be finite"),
        ({"edition": "arkit52"}, InputError, "arkit52 cannot have 50 weights"),
    ],
)
def test_what_cannot_be_sent_is_refused(
    change: dict[str, object], error: type[Exception], message: str
) -> None:
    arguments = {"edition": "openhead", "weights": FACE[0], "pose": FACE[1], "time": 0.0} | change
    with pytest.raises(error, match=message):
        encode(**arguments)


def test_the_receiver_s_limit_is_the_format_s() -> None:
    assert PROTOCOL.most_bytes == MOST_BYTES
