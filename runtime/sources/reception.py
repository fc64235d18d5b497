"""Reception: which sender is followed and which of its packets are new; what time it is, it is told."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable

from imavatar_deploy.errors import InputError

from .inbox import Inbox
from .protocol import Parser, Protocol

SILENCE = 1.0
"""Seconds without a face after which another sender may take over."""

MOST_SENDERS = 8
"""Parsers kept while nobody is followed; of more senders, the latest."""

WRAP = 2**32
"""Sequence numbers count modulo this."""

WINDOW = 128
"""Packets behind the newest within which one is known to be new or repeated: two seconds of 60 a second."""

RESTART = 8
"""Packets in a row that only count up from behind: the sender began anew. A network that doubles makes fewer."""


class Sequences:
    """Which sequence numbers came already: the newest, and a bit for each of `WINDOW` behind it."""

    def __init__(self) -> None:
        self.missing = 0
        """Numbers left out so far; one that comes late is missing no more."""
        self._newest: int | None = None
        self._seen = 0
        self._behind, self._run = 0, 0

    def is_new(self, number: int) -> bool:
        """Take note of a number; False where it came before, or is older than anybody remembers."""
        if self._newest is None:
            return self._begin(number)
        step = _signed(number - self._newest)
        if step > 0:
            self.missing += min(step, WINDOW) - 1
            self._seen = (self._seen << min(step, WINDOW) | 1) & ((1 << WINDOW) - 1)
            self._newest, self._run = number, 0
            return True
        if self._restarted(number):
            return self._begin(number)
        place = 1 << -step if -step < WINDOW else 0
        new = bool(place and not self._seen & place)
        self._seen |= place
        self.missing -= new
        return new

    def _begin(self, number: int) -> bool:
        self._newest, self._seen, self._run = number, 1, 0
        return True

    def _restarted(self, number: int) -> bool:
        counts_up = 0 < _signed(number - self._behind) < WINDOW
        self._behind, self._run = number, self._run + 1 if counts_up else 1
        return self._run >= RESTART


def _signed(difference: int) -> int:
    """The shorter way round."""
    return (difference + WRAP // 2) % WRAP - WRAP // 2


class Reception:
    """Judges the packets of one source and leaves observations in its inbox; the rest is counted there.

    The first sender with a face is followed, whoever else sends: two trackers at once would shake the head between two
    faces. Packets of others are not even read.
    """

    def __init__(self, protocol: Protocol, inbox: Inbox) -> None:
        self._protocol, self._inbox = protocol, inbox
        self._parsers: OrderedDict[Hashable, Parser] = OrderedDict()
        self._followed: Hashable = None
        self._heard = -math.inf
        self._sequences = Sequences()

    def hear(self, packet: bytes, sender: Hashable, now: float) -> None:
        """Judge one packet of a sender, which came at `now` in seconds."""
        silent = now - self._heard > SILENCE
        if sender != self._followed and not silent:
            return self._inbox.count("foreign")
        try:
            observations = self._parser(sender)(packet)
        except InputError:
            return self._inbox.count("malformed")
        if not observations:
            return self._inbox.count("empty")
        if silent:
            self._follow(sender)
        for observation in observations:
            if observation.sequence is not None and not self._is_new(observation.sequence):
                self._inbox.count("repeated")
            else:
                self._heard = now
                self._inbox.put(observation, now)

    def _is_new(self, number: int) -> bool:
        before = self._sequences.missing
        new = self._sequences.is_new(number)
        if missing := self._sequences.missing - before:
            self._inbox.count("lost", missing)
        return new

    def _parser(self, sender: Hashable) -> Parser:
        """The sender's own: some gather an observation from several packets."""
        if sender not in self._parsers:
            self._parsers[sender] = self._protocol.parser()
        self._parsers.move_to_end(sender)
        while len(self._parsers) > MOST_SENDERS:
            self._parsers.popitem(last=False)
        return self._parsers[sender]

    def _follow(self, sender: Hashable) -> None:
        """Whatever it numbered before the silence is forgotten."""
        self._followed, self._sequences = sender, Sequences()
