"""Reception: one sender is followed, no packet counts twice, a restarted sender is followed."""

from __future__ import annotations

import tracemalloc
from random import Random

import numpy as np
import pytest

from imavatar_deploy.errors import InputError
from imavatar_deploy.runtime.sources.observation import INBOX_CAPACITY, Inbox, Observation
from imavatar_deploy.runtime.sources.receiver import (
    HISTORY_PACKETS,
    PARSER_LIMIT,
    RESTART_RUN,
    SEQUENCE_MODULUS,
    SILENCE_SECONDS,
    PacketHistory,
    Reception,
)
from imavatar_deploy.runtime.sources.source import Parser, Protocol
from imavatar_deploy.runtime.streams.bad_network import deliveries

FACE = Observation("openhead", np.zeros(50), np.zeros(15))


def reception(parser: type[FirstLetter] | None = None) -> tuple[Reception, Inbox]:
    inbox = Inbox()
    made = parser or FirstLetter
    return Reception(Protocol("test", "a test", 0, 100, 30.0, None, made), inbox), inbox


class FirstLetter:
    """`f` is a face, `f7` one with a sequence number, `-` no face; other packets are malformed."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def __call__(self, packet: bytes) -> tuple[Observation, ...]:
        if packet == b"-":
            return ()
        if packet[:1] != b"f":
            raise InputError("malformed")
        number = int(packet[1:]) if packet[1:] else None
        return (Observation(FACE.vocabulary, FACE.weights, FACE.pose, sequence=number),)


def counted(inbox: Inbox) -> dict[str, int]:
    return {what: count for what, count in inbox.counts.items() if count}


def test_every_packet_is_counted() -> None:
    receiver, inbox = reception()
    for packet in (b"-", b"?", b"f", b"-", b"?", b"f"):
        receiver.add_packet(packet, "a", 0.0)
    assert counted(inbox) == {"empty": 2, "malformed": 2, "received": 2}


def test_first_face_is_followed_until_it_is_silent() -> None:
    receiver, inbox = reception()
    receiver.add_packet(b"-", "silent", 0.0)
    receiver.add_packet(b"f", "a", 0.1)
    for moment in (0.2, 0.5, 0.1 + SILENCE_SECONDS):
        receiver.add_packet(b"f", "b", moment)
    assert counted(inbox) == {"empty": 1, "received": 1, "foreign": 3}
    receiver.add_packet(b"f", "b", 0.2 + SILENCE_SECONDS)
    receiver.add_packet(b"f", "a", 0.3 + SILENCE_SECONDS)
    assert counted(inbox) == {"empty": 1, "received": 2, "foreign": 4}
    assert [arrived for _, arrived in inbox.take()] == [0.1, 0.2 + SILENCE_SECONDS]


@pytest.mark.parametrize("noise", [b"-", b"?", b"f5"])
def test_only_a_new_face_keeps_a_sender_followed(noise: bytes) -> None:
    receiver, inbox = reception()
    receiver.add_packet(b"f5", "a", 0.0)
    receiver.add_packet(noise, "a", 0.9)
    receiver.add_packet(b"f5", "b", 0.1 + SILENCE_SECONDS)
    assert inbox.counts["received"] == 2


def test_a_sender_is_followed_again_after_a_pause_whatever_its_number() -> None:
    receiver, inbox = reception()
    receiver.add_packet(b"f500", "a", 0.0)
    receiver.add_packet(b"f0", "a", 0.1)
    receiver.add_packet(b"f0", "a", 0.2 + SILENCE_SECONDS)
    assert counted(inbox) == {"received": 2, "repeated": 1}


def times(first: float, last: float, rate: float, sender: str) -> list[tuple[float, str]]:
    return [(first + number / rate, sender) for number in range(int((last - first) * rate))]


def received(arrivals: list[tuple[float, str]]) -> dict[str, int]:
    """Number of faces of each sender that are used."""
    receiver, inbox = reception()
    faces = {}
    for moment, sender in sorted(arrivals):
        before = inbox.counts["received"]
        receiver.add_packet(b"f", sender, moment)
        faces[sender] = faces.get(sender, 0) + inbox.counts["received"] - before
    return faces


def test_a_stranger_that_sends_slowly_does_not_lock_out_a_tracker() -> None:
    """A packet every 0.8 s comes just before the silence after which another may take over."""
    faces = received([*times(0.0, 20, 1 / 0.8, "stranger"), *times(0.1, 20, 30, "tracker")])
    assert faces["tracker"] > 590
    assert faces["stranger"] <= 1


def test_a_tracker_that_runs_is_not_displaced() -> None:
    flood = [moment for sender in "xyz" for moment in times(1.0, 5, 500, sender)]
    faces = received([*times(0.0, 5, 10, "tracker"), *flood])
    assert faces == {"tracker": 50, "x": 0, "y": 0, "z": 0}


def test_two_slow_senders_do_not_alternate() -> None:
    faces = received([*times(0.0, 10, 2, "a"), *times(0.2, 10, 2, "b")])
    assert faces == {"a": 20, "b": 0}


def test_a_protocol_of_partial_packets_counts_none_as_empty() -> None:
    inbox = Inbox()
    receiver = Reception(
        Protocol("test", "a test", 0, 100, 30.0, None, FirstLetter, partial=True), inbox
    )
    for packet in (b"-", b"f", b"-"):
        receiver.add_packet(packet, "a", 0.0)
    assert counted(inbox) == {"received": 1}


def test_each_sender_has_its_parser_and_only_the_latest_keep_it() -> None:
    class Counting(FirstLetter):
        made = 0

    receiver, _ = reception(Counting)
    for _ in range(3):
        for sender in range(PARSER_LIMIT):
            receiver.add_packet(b"-", sender, 0.0)
    assert Counting.made == PARSER_LIMIT
    for sender in range(1, 1000):
        receiver.add_packet(b"-", sender, 0.0)
    receiver.add_packet(b"-", 999, 0.0)
    assert Counting.made == 1000
    receiver.add_packet(b"f", 0, 0.0)
    for sender in range(1, 1000):
        receiver.add_packet(b"-", sender, 0.1)
    assert Counting.made == 1001


def test_a_bug_of_a_parser_is_not_hidden() -> None:
    def parser() -> Parser:
        return lambda packet: 1 / 0  # type: ignore[return-value]

    with pytest.raises(ZeroDivisionError):
        Reception(Protocol("test", "a test", 0, 100, 30.0, None, parser), Inbox()).add_packet(
            b"f", "a", 0.0
        )


@pytest.mark.parametrize("first", [0, 7, SEQUENCE_MODULUS - 100])
def test_bad_network_delivers_each_number_once(first: int) -> None:
    bad = {"loss": 0.2, "jitter": 0.1, "duplicate": 0.3, "burst": 4}
    arrived = [
        index for _, index in deliveries([number / 60 for number in range(3000)], **bad, seed=1)
    ]
    history = PacketHistory()
    accepted_numbers = [
        index for index in arrived if history.is_new((first + index) % SEQUENCE_MODULUS)
    ]
    assert accepted_numbers == list(dict.fromkeys(arrived))


def test_old_and_replayed_numbers_are_known() -> None:
    history = PacketHistory()
    assert all(history.is_new(number) for number in (10, 12, 11))
    assert not any(history.is_new(number) for number in (10, 12, 11, 12))
    assert history.is_new(13 + HISTORY_PACKETS)
    assert not history.is_new(13)
    assert history.is_new(14)


def test_forgotten_numbers_in_any_order_are_refused() -> None:
    history = PacketHistory()
    history.is_new(10**6)
    random = Random(0)
    old = [random.randrange(10**5) for _ in range(1000)]
    assert sum(map(history.is_new, old)) == 0


@pytest.mark.parametrize("played", [1, 20, HISTORY_PACKETS + 5, 5000])
def test_a_sender_that_begins_anew_is_soon_followed(played: int) -> None:
    history = PacketHistory()
    for number in range(played):
        history.is_new(number)
    accepted = [history.is_new(number) for number in range(200)]
    assert accepted[RESTART_RUN:] == [True] * (200 - RESTART_RUN)


def test_one_number_far_ahead_is_recovered_from() -> None:
    history = PacketHistory()
    for number in (*range(50), 10**9):
        assert history.is_new(number)
    accepted = [history.is_new(number) for number in range(50, 150)]
    assert accepted[RESTART_RUN - 1 :] == [True] * (101 - RESTART_RUN)


def test_a_flood_from_everywhere_leaves_nothing_behind() -> None:
    receiver, inbox = reception()
    for number in range(500):
        receiver.add_packet(b"f%d" % number, "a", 0.0)
    tracemalloc.start()
    try:
        for number in range(500, 5500):
            receiver.add_packet(b"f%d" % number, "a", 0.0)
            receiver.add_packet(b"f", ("other", number), 0.0)
        for number in range(5000):
            receiver.add_packet(b"-", ("other", number), 2 * SILENCE_SECONDS)
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(inbox.take()) == INBOX_CAPACITY
    assert inbox.counts["foreign"] == inbox.counts["empty"] == 5000
    assert grown < 1e6, "the inbox's observations and a few parsers"


def test_missing_numbers_are_counted_until_they_come() -> None:
    history = PacketHistory()
    for number, missing in (
        (5, 0),
        (6, 0),
        (9, 2),
        (7, 1),
        (7, 1),
        (10, 1),
        (2**20, 1 + HISTORY_PACKETS - 1),
    ):
        history.is_new(number)
        assert history.missing == missing
