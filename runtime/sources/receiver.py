"""Receiver: the thread that empties a UDP socket, however much comes, without taking the player's time."""

from __future__ import annotations

import errno
import selectors
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from imavatar_deploy.errors import InputError

from .inbox import Inbox
from .protocol import Protocol
from .reception import Reception

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
    """Reads a socket from `start` to `stop`; whatever ends it otherwise is left in `inbox.trouble`."""

    def __init__(self, protocol: Protocol, opened: socket.socket, inbox: Inbox, greeting: Greeting | None) -> None:
        super().__init__(name=f"imavatar-{protocol.scheme}", daemon=True)
        self._socket, self._inbox, self._greeting = opened, inbox, greeting
        self._reception = Reception(protocol, inbox)
        self._longest = protocol.most_bytes
        self._room = memoryview(bytearray(protocol.most_bytes + 1))
        self._stopped = threading.Event()
        self._ear, self._bell = socket.socketpair()
        self._heard = time.monotonic()

    def stop(self) -> None:
        """End the thread, and wait until it has ended."""
        self._stopped.set()
        self._bell.send(b"!")
        self.join()
        self._ear.close()
        self._bell.close()

    def run(self) -> None:
        """What the thread does; see the class."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._socket, selectors.EVENT_READ)
                selector.register(self._ear, selectors.EVENT_READ)
                while not self._stopped.is_set():
                    selector.select(GREET_EVERY if self._greeting else None)
                    self._read_a_turn()
                    self._greet_again()
        except Exception as error:  # told to the player's loop, which would wait for ever otherwise
            self._inbox.trouble = error
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
            except ConnectionResetError:  # Windows' word for a tracker that was greeted and is not there
                continue
            except OSError as error:
                if error.errno not in TOO_LONG:
                    raise InputError(f"the network broke off ({error.strerror or error}); start again") from error
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
        self._reception.hear(bytes(self._room[:size]), who, now)
