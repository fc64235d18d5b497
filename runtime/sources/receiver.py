"""Receiver: the thread that empties a UDP socket, however much comes, without taking the player's time."""

from __future__ import annotations

import errno
import math
import selectors
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from imavatar_deploy.errors import InputError

from .observation import Inbox
from .source import Parser, Protocol

# Reception: which sender is followed and which of its packets are new; what time it is, it is told.


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

    def add_packet(self, packet: bytes, sender: Hashable, now: float) -> None:
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


GREET_EVERY = 3.0
"""Seconds between greetings while nothing comes from a tracker that must be greeted."""

TURN, SHARE = 128, 0.25
"""Packets read without a pause, and the most of one core's time that reading may take; the system throws away the rest.

To read a packet holds the interpreter for 3 (junk, strangers) to 26 (a face) microseconds, which the player then lacks.
A turn holds the most that a tracker sends for one face, a message for every weight.
"""

TOO_LONG = {errno.EMSGSIZE, 10040}
"""How Windows says that a packet is longer than the buffer; others cut it off."""


@dataclass(frozen=True)
class Greeting:
    """How a tracker is asked to send."""

    hello: bytes
    place: Any
    """The tracker's socket address; no other host is then heard."""

    def send(self, opened: socket.socket) -> None:
        """Raises InputError where there is no way to the tracker; whether it heard, nobody knows."""
        try:
            opened.sendto(self.hello, self.place)
        except OSError as error:
            raise InputError(
                f"the tracker at {self.place[0]} cannot be reached ({error.strerror or error}): is it in this network?"
            ) from error


class Receiver(threading.Thread):
    """Reads a socket from `start` to `stop`; whatever ends it otherwise is left in `inbox.error`."""

    def __init__(
        self, protocol: Protocol, opened: socket.socket, inbox: Inbox, greeting: Greeting | None
    ) -> None:
        super().__init__(name=f"imavatar-{protocol.scheme}", daemon=True)
        self._socket, self._inbox, self._greeting = opened, inbox, greeting
        self._reception = Reception(protocol, inbox)
        self._longest = protocol.most_bytes
        self._room = memoryview(bytearray(protocol.most_bytes + 1))
        self._stopped = threading.Event()
        self._wakeup_receiver, self._wakeup_socket = socket.socketpair()
        self._heard = time.monotonic()

    def stop(self) -> None:
        """End the thread, and wait until it has ended."""
        self._stopped.set()
        self._wakeup_socket.send(b"!")
        self.join()
        self._wakeup_receiver.close()
        self._wakeup_socket.close()

    def run(self) -> None:
        """What the thread does; see the class."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._socket, selectors.EVENT_READ)
                selector.register(self._wakeup_receiver, selectors.EVENT_READ)
                while not self._stopped.is_set():
                    selector.select(GREET_EVERY if self._greeting else None)
                    self._read_a_turn()
                    self._greet_again()
        except Exception as error:  # told to the player's loop, which would wait for ever otherwise
            self._inbox.error = error
        finally:
            self._inbox.ended.set()

    def _greet_again(self) -> None:
        if self._greeting and time.monotonic() - self._heard >= GREET_EVERY:
            self._heard = time.monotonic()
            with suppress(InputError):  # a network may be away for a moment
                self._greeting.send(self._socket)

    def _read_a_turn(self) -> None:
        began = time.thread_time()
        for _ in range(TURN):
            try:
                size, sender = self._socket.recvfrom_into(self._room)
            except BlockingIOError:
                return
            except (
                ConnectionResetError
            ):  # Windows' word for a tracker that was greeted and is not there
                continue
            except OSError as error:
                if error.errno not in TOO_LONG:
                    raise InputError(
                        f"the network broke off ({error.strerror or error}); start again"
                    ) from error
                size, sender = self._longest + 1, None
            self._judge(size, sender)
        time.sleep((time.thread_time() - began) * (1 / SHARE - 1))

    def _judge(self, size: int, sender: tuple[Any, ...] | None) -> None:
        now = time.monotonic()
        if self._greeting and (sender is None or sender[0] != self._greeting.place[0]):
            return self._inbox.count("foreign")
        self._heard = now
        if size > self._longest:
            return self._inbox.count("malformed")
        who = sender[0] if self._greeting and sender else sender
        self._reception.add_packet(bytes(self._room[:size]), who, now)
