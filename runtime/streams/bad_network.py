"""Simulation of a bad network: packets lost in bursts, delayed, reordered, duplicated; seeded."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import TypeVar

from imavatar_deploy.errors import UsageError

LONGEST_JITTER = 10.0
"""Largest delay, seconds."""

Packet = TypeVar("Packet")


class BadNetwork:
    """Decides which packets are lost, delayed or duplicated, one packet after the other.

    Args:
        loss: share of packets that are lost, 0..1.
        jitter: largest delay, seconds; each packet's is uniform between zero and that, so later
            ones may overtake.
        duplicate: share of the arriving packets that arrive twice, each after its own delay.
        burst: mean number of packets lost in a row; at least that of independent losses,
            1 / (1 - loss).
        seed: of the random numbers.

    Raises:
        UsageError: one of them is out of range.
    """

    def __init__(
        self,
        *,
        loss: float = 0.0,
        jitter: float = 0.0,
        duplicate: float = 0.0,
        burst: float = 1.0,
        seed: int = 0,
    ) -> None:
        for name, value in (("loss", loss), ("duplicate", duplicate)):
            if not 0 <= value <= 1:
                raise UsageError(f"{name} must be between 0 and 1, got {value}")
        if not 0 <= jitter <= LONGEST_JITTER:
            raise UsageError(
                f"jitter must be between 0 and {LONGEST_JITTER:.0f} seconds, got {jitter}"
            )
        if not 1 <= burst < float("inf"):
            raise UsageError(f"burst must be 1 packet or more, got {burst}")
        self._random = Random(seed)
        self._jitter = jitter
        self._duplicate = duplicate
        self._begins, self._ends = _transitions(loss, burst)
        self._losing = self._random.random() < loss
        self.lost = 0
        """Packets lost so far."""
        self.doubled = 0
        """Packets duplicated so far."""

    def delays(self) -> list[float]:
        """Delays of the next packet, seconds: none where it is lost, two where it is duplicated."""
        lost = self._losing
        chance = self._random.random()
        self._losing = chance >= self._ends if lost else chance < self._begins
        arrivals = 0 if lost else 1 + (self._random.random() < self._duplicate)
        self.lost += arrivals == 0
        self.doubled += arrivals == 2
        return [self._jitter * self._random.random() for _ in range(arrivals)]


def _transitions(loss: float, burst: float) -> tuple[float, float]:
    """Probabilities that a burst of losses begins, and that it ends, after a packet.

    The model is Gilbert's channel.

    Without a longer burst the two add up to 1, which makes losses independent.
    """
    if loss == 1:
        return 1.0, 0.0
    ends = 1 / max(burst, 1 / (1 - loss))
    return ends * loss / (1 - loss), ends


def through(
    network: BadNetwork, packets: Iterable[tuple[float, Packet]]
) -> Iterator[tuple[float, Packet]]:
    """(time, packet) as sent, sorted -> as received, in order of arrival; may be endless."""
    underway: list[tuple[float, int, Packet]] = []
    for order, (time, packet) in enumerate(packets):
        while underway and underway[0][0] <= time:
            arrival, _, arrived = heapq.heappop(underway)
            yield arrival, arrived
        for number, delay in enumerate(network.delays()):
            heapq.heappush(underway, (time + delay, 2 * order + number, packet))
    while underway:
        arrival, _, arrived = heapq.heappop(underway)
        yield arrival, arrived


def deliveries(
    times: Sequence[float],
    *,
    loss: float = 0.0,
    jitter: float = 0.0,
    duplicate: float = 0.0,
    burst: float = 1.0,
    seed: int = 0,
) -> list[tuple[float, int]]:
    """(arrival, index) of packets sent at `times` (seconds, sorted), in order of arrival.

    The other arguments are those of `BadNetwork`.
    """
    network = BadNetwork(loss=loss, jitter=jitter, duplicate=duplicate, burst=burst, seed=seed)
    return list(through(network, ((time, index) for index, time in enumerate(times))))
