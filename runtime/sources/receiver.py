"""Receiver: the thread that empties a UDP socket into an inbox; choice of sender and packets."""

from __future__ import annotations

import errno
import math
import selectors
import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from imavatar_deploy.errors import InputError

from .observation import Inbox
from .source import Parser, Protocol

SILENCE_SECONDS = 1.0
"""Seconds without a face after which another sender may take over."""

STEADY_PACKETS = 6
"""Packets of a sender within a second, from which it counts as a tracker that runs; trackers send
10 faces a second and more."""

PARSER_LIMIT = 8
"""Largest number of parsers, one a sender, while no sender is followed; the least recently used is
dropped."""

SEQUENCE_MODULUS = 2**32
"""Sequence numbers count modulo this."""

HISTORY_PACKETS = 128
"""Sequence numbers behind the newest in the window: two seconds at 60 packets a second."""

RESTART_RUN = 8
"""Old packets in a row that count up, from which the sender has restarted. Duplicates by a network
come in shorter runs."""


class PacketHistory:
    """The sequence numbers that have arrived: the newest, and `HISTORY_PACKETS` bits behind it.

    States:

        empty      no number yet; the first one is new
        running    a number ahead of the newest is new and moves the window; a number inside the
                   window is new where its bit is not set; one behind it is old
        restart    `RESTART_RUN` numbers in a row, none ahead of the newest, count up: the window
                   starts again at the last of them
    """

    def __init__(self) -> None:
        self.missing = 0
        """Numbers skipped so far; one that arrives late is subtracted again."""
        self._newest: int | None = None
        self._received = 0
        self._behind = 0
        self._run = 0

    def is_new(self, number: int) -> bool:
        """Record a number; return False for a duplicate and for a number older than the window."""
        if self._newest is None:
            return self._start(number)
        step = _shortest_step(number - self._newest)
        if step > 0:
            self.missing += min(step, HISTORY_PACKETS) - 1
            self._received = (self._received << min(step, HISTORY_PACKETS) | 1) & (
                (1 << HISTORY_PACKETS) - 1
            )
            self._newest = number
            self._run = 0
            return True
        if self._is_restart(number):
            return self._start(number)
        place = 1 << -step if -step < HISTORY_PACKETS else 0
        new = bool(place and not self._received & place)
        self._received |= place
        self.missing -= new
        return new

    def _start(self, number: int) -> bool:
        self._newest = number
        self._received = 1
        self._run = 0
        return True

    def _is_restart(self, number: int) -> bool:
        counts_up = 0 < _shortest_step(number - self._behind) < HISTORY_PACKETS
        self._behind = number
        self._run = self._run + 1 if counts_up else 1
        return self._run >= RESTART_RUN


def _shortest_step(difference: int) -> int:
    """A difference of sequence numbers, the shorter way round."""
    return (difference + SEQUENCE_MODULUS // 2) % SEQUENCE_MODULUS - SEQUENCE_MODULUS // 2


class SteadyCount:
    """Whether `STEADY_PACKETS` packets have come within a second; once reached, it stays so."""

    def __init__(self) -> None:
        self.reached = False
        self._times: deque[float] = deque(maxlen=STEADY_PACKETS)

    def add(self, now: float) -> None:
        """Count a packet that arrived at `now` seconds."""
        self._times.append(now)
        self.reached |= len(self._times) == STEADY_PACKETS and now - self._times[0] <= 1.0


class Reception:
    """Accepts or counts the packets of one source; observations go to its inbox.

    Counts of packets in `Inbox.counts`, all before retargeting:

        foreign      of another sender than the followed one
        malformed    refused by the protocol's parser
        empty        of a sender that sees no face
        repeated     duplicates by their sequence number, or older than the window
        lost         sequence numbers that never arrived; a late arrival is subtracted again

    Only one sender is followed at a time: with two, the head would jump between two faces. States:

        silent       no face for `SILENCE_SECONDS`, or none yet: packets of all senders are parsed,
                     and the first sender with a face is followed
        following    packets of other senders are counted as `foreign`. They are parsed only while
                     the followed sender is not steady, and of a sender with `STEADY_PACKETS`
                     packets in a second: the first of these with a face is followed instead
        steady       the followed sender has had `STEADY_PACKETS` faces in a second since it was
                     followed: packets of other senders are counted as `foreign` and not parsed

    A stranger whose packets come just before the silence ends can therefore not lock out a tracker,
    and a tracker that has sent its faces for a moment is not displaced.
    """

    def __init__(self, protocol: Protocol, inbox: Inbox) -> None:
        self._protocol = protocol
        self._inbox = inbox
        self._parsers: OrderedDict[Hashable, Parser] = OrderedDict()
        self._followed: Hashable = None
        self._last_face = -math.inf
        self._history = PacketHistory()
        self._steady = SteadyCount()
        self._others: OrderedDict[Hashable, SteadyCount] = OrderedDict()

    def add_packet(self, packet: bytes, sender: Hashable, now: float) -> None:
        """Process one packet of a sender, which arrived at `now` seconds."""
        silent = now - self._last_face > SILENCE_SECONDS
        displaces = sender != self._followed and not silent
        if displaces and not self._may_displace(sender, now):
            return self._inbox.count("foreign")
        try:
            observations = self._parser(sender)(packet)
        except InputError:
            return self._inbox.count("malformed")
        if not observations:
            return None if self._protocol.partial else self._inbox.count("empty")
        if silent or displaces:
            self._follow(sender)
        self._steady.add(now)
        for observation in observations:
            if observation.sequence is not None and not self._is_new(observation.sequence):
                self._inbox.count("repeated")
            else:
                self._last_face = now
                self._inbox.put(observation, now)

    def _may_displace(self, sender: Hashable, now: float) -> bool:
        """Count a packet of another sender; return whether the sender may be followed instead."""
        if self._steady.reached:
            return False
        counts = self._others.setdefault(sender, SteadyCount())
        self._others.move_to_end(sender)
        while len(self._others) > PARSER_LIMIT:
            self._others.popitem(last=False)
        counts.add(now)
        return counts.reached

    def _is_new(self, number: int) -> bool:
        before = self._history.missing
        new = self._history.is_new(number)
        if missing := self._history.missing - before:
            self._inbox.count("lost", missing)
        return new

    def _parser(self, sender: Hashable) -> Parser:
        """The sender's own parser: some protocols spread an observation over several packets."""
        if sender not in self._parsers:
            self._parsers[sender] = self._protocol.parser()
        self._parsers.move_to_end(sender)
        while len(self._parsers) > PARSER_LIMIT:
            self._parsers.popitem(last=False)
        return self._parsers[sender]

    def _follow(self, sender: Hashable) -> None:
        """Follow a sender, and discard the sequence numbers received before the silence."""
        self._followed = sender
        self._history = PacketHistory()
        self._steady = SteadyCount()
        self._others.clear()


# The thread

GREETING_SECONDS = 3.0
"""Seconds between greetings while no packets come from a tracker that must be greeted."""

TURN_PACKETS = 128
"""Packets read in one turn, without a pause: the most that a tracker sends for one face, which is a
message for every weight."""

READING_SHARE = 0.25
"""Largest share of one core's time that reading takes; the system discards further packets.

Reading a packet holds the interpreter for 3 (junk, other senders) to 26 (a face) microseconds,
which the player then lacks.
"""

TOO_LONG_ERRNOS = {errno.EMSGSIZE, 10040}
"""Errors by which Windows reports a packet longer than the buffer; other systems cut it off."""


@dataclass(frozen=True)
class Greeting:
    """The packet that makes a tracker send."""

    hello: bytes
    place: Any
    """The tracker's socket address; packets of other hosts are then `foreign`."""

    def send(self, opened: socket.socket) -> None:
        """Send the greeting. Its arrival is not confirmed.

        Raises:
            InputError: there is no route to the tracker.
        """
        try:
            opened.sendto(self.hello, self.place)
        except OSError as error:
            raise InputError(
                f"the tracker at {self.place[0]} cannot be reached ({error.strerror or error}): "
                "is it in this network?"
            ) from error


class Receiver(threading.Thread):
    """Reads a socket from `start` to `stop`. Any error that ends it goes to `inbox.error`.

    One turn of the thread:

        sleep      until a packet arrives, `stop` is called, or a greeting is due
        read       at most `TURN_PACKETS` packets, each passed to the `Reception`
        pause      so that reading takes no more than `READING_SHARE` of a core
        greet      again, where a tracker must be greeted and has been silent for `GREETING_SECONDS`
    """

    def __init__(
        self, protocol: Protocol, opened: socket.socket, inbox: Inbox, greeting: Greeting | None
    ) -> None:
        super().__init__(name=f"imavatar-{protocol.scheme}", daemon=True)
        self._socket = opened
        self._inbox = inbox
        self._greeting = greeting
        self._reception = Reception(protocol, inbox)
        self._longest = protocol.most_bytes
        self._room = memoryview(bytearray(protocol.most_bytes + 1))
        self._stopped = threading.Event()
        self._wakeup_receiver, self._wakeup_socket = socket.socketpair()
        self._last_contact = time.monotonic()  # a packet received or a greeting sent

    def stop(self) -> None:
        """End the thread, and wait until it has ended."""
        self._stopped.set()
        self._wakeup_socket.send(b"!")
        self.join()
        self._wakeup_receiver.close()
        self._wakeup_socket.close()

    def run(self) -> None:
        """Read packets until `stop` is called."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._socket, selectors.EVENT_READ)
                selector.register(self._wakeup_receiver, selectors.EVENT_READ)
                while not self._stopped.is_set():
                    selector.select(GREETING_SECONDS if self._greeting else None)
                    self._read_turn()
                    self._greet_again()
        except Exception as error:  # raised again in the render loop, which would wait without end
            self._inbox.error = error
        finally:
            self._inbox.ended.set()

    def _greet_again(self) -> None:
        if self._greeting and time.monotonic() - self._last_contact >= GREETING_SECONDS:
            self._last_contact = time.monotonic()
            with suppress(InputError):  # a network may be away for a moment
                self._greeting.send(self._socket)

    def _read_turn(self) -> None:
        began = time.thread_time()
        for _ in range(TURN_PACKETS):
            try:
                size, sender = self._socket.recvfrom_into(self._room)
            except BlockingIOError:
                return
            except ConnectionResetError:  # on Windows: a greeted tracker that is not there
                continue
            except OSError as error:
                if error.errno not in TOO_LONG_ERRNOS:
                    raise InputError(
                        f"the network broke off ({error.strerror or error}); start again"
                    ) from error
                size = self._longest + 1
                sender = None
            self._process(size, sender)
        time.sleep((time.thread_time() - began) * (1 / READING_SHARE - 1))

    def _process(self, size: int, sender: tuple[Any, ...] | None) -> None:
        now = time.monotonic()
        if self._greeting and (sender is None or sender[0] != self._greeting.place[0]):
            return self._inbox.count("foreign")
        self._last_contact = now
        if size > self._longest:
            return self._inbox.count("malformed")
        key = sender[0] if self._greeting and sender else sender
        self._reception.add_packet(bytes(self._room[:size]), key, now)
