"""`Interruption`: signals that would end a run are deferred until its work is saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, NoReturn

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that are deferred. Windows has no SIGHUP."""


class Interruption:
    """Defers the first signal of each kind; a second one of that kind acts at once.

    In the context `requested` tells whether a signal has arrived. The caller then saves its work
    and calls `end`, which lets the signal act as it would have without the context: Ctrl-C raises
    KeyboardInterrupt. Where the context ends otherwise, without an error, the signal acts then.

    Signals that the process ignores stay ignored, as SIGHUP under nohup. Signals arrive in the main
    thread alone; in another thread nothing is deferred.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._handlers: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has arrived."""
        return self._number is not None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if handler is not None and handler != signal.SIG_IGN:
                    self._handlers[number] = handler
                    signal.signal(number, self._defer)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()
        if kind is None and self.requested:
            self.end()

    def end(self) -> NoReturn:
        """Let the signal act.

        Raises:
            KeyboardInterrupt: the signal was Ctrl-C, or another process of the run received it.
        """
        self._restore()
        if self._number is not None:
            signal.raise_signal(self._number)
        raise KeyboardInterrupt

    def _defer(self, number: int, frame: FrameType | None) -> None:
        if self._number is None:
            self._number = number
        signal.signal(number, self._handlers[number])

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
