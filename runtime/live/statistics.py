"""Statistics of a run: packets, frames and latencies, during the run and in a report at its end."""

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
from .render_loop import AtOnce, FrameCounts, RealTime
from .sink_thread import SinkThread

REPORT_SECONDS = 1.0
"""Seconds between two lines of `--stats`."""

PREDICTED_SHARE = 0.2
"""Share of predicted frames from which the report suggests a longer latency."""

NO_FACE_SECONDS = 3.0
"""Seconds without a face after which a line on stderr reports it."""


@dataclass
class Statistics:
    """Everything that a run counts."""

    frames: FrameCounts
    ticker: RealTime | AtOnce
    driver: LiveDriver | TrackDriver
    source: LiveSource | None = None
    """The stream; None for a recording."""
    sink_threads: list[SinkThread] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        """Count seconds from now on; everything that takes time before the first frame is done."""
        self.began = time.monotonic()

    @property
    def packets(self) -> dict[str, int]:
        """The counts of the inbox, see `Inbox`, `received` first; empty for a recording."""
        # copied first, because other threads go on counting
        counts = dict(self.source.inbox.counts) if self.source else {}
        order = sorted(counts, key=lambda name: (name != "received", name))
        return {name: counts[name] for name in order if counts[name]}

    def snapshot(self) -> dict[str, Any]:
        """Figures so far, by name."""
        seconds = time.monotonic() - self.began
        rate = self.frames.played / seconds if seconds else 0.0
        figures = {
            "seconds": round(seconds, 1),
            "frames a second": round(rate, 1),
            "drawn": self.frames.drawn,
            **({"sent": self.frames.sent} if self.frames.sent else {}),
        }
        return (
            figures
            | {"left out": self.ticker.missed, "latency": str(self.frames.latency)}
            | self.packets
            | ({"face": self.source.face()} if self.source and self.source.face else {})
        )

    def line(self) -> str:
        """The figures so far in one line."""
        return ", ".join(f"{name} {value}" for name, value in self.snapshot().items())

    def faceless(self) -> bool:
        """Whether a stream has shown no face for longer than it takes to begin."""
        waiting = (
            self.frames.played == self.frames.faceless
            and time.monotonic() - self.began > NO_FACE_SECONDS
        )
        return self.source is not None and waiting

    def source_line(self) -> str:
        """The packets of a stream in words, and why some cannot be shown."""
        packets = (
            ", ".join(f"{name} {count:,}" for name, count in self.packets.items()) or "nothing came"
        )
        refusal = self.driver.refusal if isinstance(self.driver, LiveDriver) else ""
        listening = self.source.listening if self.source else ""
        face = self.source.face() if self.source and self.source.face else ""
        remarks = [refusal, f"the face is {face}" if face else ""]
        return "; ".join([f"{listening}: {packets}", *filter(None, remarks)])

    def faceless_line(self) -> str:
        """Why a stream ended before one of its faces was drawn."""
        packets = self.packets
        received = packets.get("received", 0)
        discarded = packets.get("early", 0) + packets.get("overflowed", 0)
        came = f"{received:,} packets with a face came and none"
        if not received:
            line = "no face was received"
        elif isinstance(self.driver, LiveDriver) and self.driver.taken:
            line = f"{came} of them can be shown"
        elif received > discarded:
            line = f"{came} was drawn in time: give a longer --duration"
        else:
            line = f"{came} was drawn: they came before the first frame could be drawn"
        return f"{line}; no output is kept; {self.source_line()}"

    def _latency_note(self) -> str:
        if not isinstance(self.driver, LiveDriver):
            return ""
        states = self.driver.states
        predicted = states["predicted"] / max(sum(states.values()), 1)
        hint = (
            f"; {predicted:.0%} predicted before their packets came: --latency 100ms waits for them"
        )
        hint = hint if predicted > PREDICTED_SHARE else ""
        return f"; {self.driver.motion.latency_note}{hint}"

    def report(self) -> list[str]:
        """Lines for the end of the run."""
        seconds = time.monotonic() - self.began
        lines = []
        if self.source:
            lines.append(self.source_line())
        frames = self.frames
        rate = frames.played / max(seconds, 1e-9)
        verb = "played" if frames.undrawn else "drew"
        played = f"{verb} {frames.played} frames at {rate:.1f} a second"
        real_time = isinstance(self.ticker, RealTime)
        lines.append(f"{played}, {self.ticker.missed} left out for time" if real_time else played)
        if frames.undrawn:
            lines.append(
                f"drew {frames.drawn} of them, and sent the motion of {frames.sent}: no sink "
                f"needed a picture of the other {frames.undrawn}"
            )
        if len(self.frames.latency):
            kind = "capture to picture" if real_time else "a frame's drawing"
            lines.append(f"{kind}: {self.frames.latency}" + self._latency_note())
        if self.frames.waiting:
            lines.append(
                f"{self.frames.waiting} frames showed a face held or at rest while nothing came"
            )
        if skipped := sum(thread.counts["skipped"] for thread in self.sink_threads):
            lines.append(
                f"{skipped} pictures were replaced by newer ones because their sink was busy"
            )
        return lines


@contextmanager
def reporting(statistics: Statistics, *, every_second: bool) -> Iterator[None]:
    """Print on stderr, once, that no face has come; with `every_second`, the statistics."""
    over = threading.Event()

    def watch() -> None:
        warned = False
        while not over.wait(REPORT_SECONDS):
            if not warned and statistics.faceless():
                warned = True
                tell(f"no face yet; {statistics.source_line()}")
            if every_second:
                tell(statistics.line())

    thread = threading.Thread(target=watch, name="statistics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
