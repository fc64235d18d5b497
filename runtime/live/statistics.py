"""Statistics of a run: what came, what was drawn, how late it was; while it runs, and in words at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from imavatar_deploy.progress import tell

from ..sources import LiveSource
from .drivers import LiveDriver, TrackDriver
from .render_loop import AtOnce, RealTime, Tally
from .sink_thread import SinkThread

EVERY = 1.0
"""Seconds between two lines of `--stats`."""

GUESSED = 0.2
"""Share of pictures that rest on a prediction from which a longer latency is worth its while."""

SILENCE = 3.0
"""Seconds without a packet after which it is said where one is listened for."""


@dataclass
class Statistics:
    """Everything that a run counts."""

    tally: Tally
    pace: RealTime | AtOnce
    performance: LiveDriver | TrackDriver
    source: LiveSource | None = None
    """Where it is a tracker's stream."""
    outlets: list[SinkThread] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        """Count seconds from now on: everything that takes time before the first frame is done."""
        self.began = time.monotonic()

    @property
    def packets(self) -> dict[str, int]:
        """What became of the packets; empty for a recording."""
        counts = (
            dict(self.source.inbox.counts) if self.source else {}
        )  # a copy at once: other threads count on
        order = sorted(counts, key=lambda name: (name != "received", name))
        return {name: counts[name] for name in order if counts[name]}

    def snapshot(self) -> dict[str, Any]:
        """Figures so far, by name."""
        seconds = time.monotonic() - self.began
        rate = self.tally.drawn / seconds if seconds else 0.0
        figures = {
            "seconds": round(seconds, 1),
            "drawn": self.tally.drawn,
            "frames a second": round(rate, 1),
        }
        return (
            figures
            | {"left out": self.pace.missed, "latency": str(self.tally.latency)}
            | self.packets
        )

    def line(self) -> str:
        """The same in one line."""
        return ", ".join(f"{name} {value}" for name, value in self.snapshot().items())

    def faceless(self) -> bool:
        """Whether a tracker's stream has shown nobody for longer than it takes to begin."""
        waiting = (
            self.tally.drawn == self.tally.faceless and time.monotonic() - self.began > SILENCE
        )
        return self.source is not None and waiting

    def source_line(self) -> str:
        """What came, of a tracker's stream, and why it is not shown, where it is not."""
        packets = (
            ", ".join(f"{name} {count:,}" for name, count in self.packets.items()) or "nothing came"
        )
        refusal = self.performance.refusal if isinstance(self.performance, LiveDriver) else ""
        return f"{self.source.listening if self.source else ''}: {packets}{f'; {refusal}' if refusal else ''}"

    def faceless_line(self) -> str:
        """Why a tracker's stream was over before one of its faces was drawn."""
        packets = self.packets
        received = packets.get("received", 0)
        discarded = packets.get("early", 0) + packets.get("overflowed", 0)
        came = f"{received:,} packets with a face came and none"
        if not received:
            line = "no face came"
        elif isinstance(self.performance, LiveDriver) and self.performance.taken:
            line = f"{came} of them can be shown"
        elif received > discarded:
            line = f"{came} was drawn in time: give a longer --duration"
        else:
            line = f"{came} was drawn: they came before the first frame could be drawn"
        return f"{line}; no output is kept; {self.source_line()}"

    def _added(self) -> str:
        if not isinstance(self.performance, LiveDriver):
            return ""
        states = self.performance.states
        guessed = states["predicted"] / max(sum(states.values()), 1)
        hint = f"; {guessed:.0%} guessed ahead of their packets: --latency 100ms waits for them"
        hint = hint if guessed > GUESSED else ""
        return f"; {self.performance.motion.latency_note}{hint}"

    def report(self) -> list[str]:
        """What is to be said at the end."""
        seconds = time.monotonic() - self.began
        lines = []
        if self.source:
            lines.append(self.source_line())
        rate = f"drew {self.tally.drawn} frames at {self.tally.drawn / max(seconds, 1e-9):.1f} a second"
        real = isinstance(self.pace, RealTime)
        lines.append(f"{rate}, {self.pace.missed} left out for time" if real else rate)
        if len(self.tally.latency):
            kind = "capture to picture" if real else "a frame's drawing"
            lines.append(f"{kind}: {self.tally.latency}" + self._added())
        if self.tally.waiting:
            lines.append(
                f"{self.tally.waiting} frames showed a face held or at rest while nothing came"
            )
        if skipped := sum(outlet.counts["skipped"] for outlet in self.outlets):
            lines.append(
                f"{skipped} pictures found a sink busy with the one before, and gave way to a newer"
            )
        return lines


@contextmanager
def told(statistics: Statistics, *, regularly: bool) -> Iterator[None]:
    """Say on stderr how it goes, once a second when that is wanted; and when nobody is heard, where one is expected."""
    over = threading.Event()

    def watch() -> None:
        warned = False
        while not over.wait(EVERY):
            if not warned and statistics.faceless():
                warned = True
                tell(f"no face yet; {statistics.source_line()}")
            if regularly:
                tell(statistics.line())

    thread = threading.Thread(target=watch, name="statistics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
