"""A long live run from the socket to the image: memory, and the age of what is drawn, over time.

    python benchmarks/live_soak.py [--minutes 30] [--fps 60] [--size 512] [--loss 0.05]

Another process sends the bundled motion at `--fps` in FLAME-UDP packets. Its clock is 50 ppm too
fast and gains 90 ms in half an hour. Two channels of the expression encode the true time as a
phase. The age of a drawn face (network, buffer, smoothing, waiting for the tick, drawing) is
computed from it and does not depend on the clocks.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from itertools import count
from pathlib import Path

import click
import numpy as np

from imavatar_deploy.cli.options import DURATION
from imavatar_deploy.runtime.live.api import listen
from imavatar_deploy.runtime.live.drivers import DriverState
from imavatar_deploy.runtime.live.render_loop import (
    FrameCounts,
    Latencies,
    RealTime,
    Viewpoint,
    run_loop,
)
from imavatar_deploy.runtime.player import Player
from imavatar_deploy.runtime.sinks.sink import Controls
from imavatar_deploy.runtime.streams.bad_network import BadNetwork
from imavatar_deploy.runtime.streams.flame_packet import encode
from imavatar_deploy.runtime.timing import machine
from imavatar_deploy.tracks import read_track

PORT = 9753
PERIOD = 8.0
"""Period of the phase in seconds; ages are known modulo this."""
COSINE = 48
SINE = 49
"""Expressions that encode the phase."""
FAST = 1 + 50e-6
"""Rate of the sender's clock."""


def send(fps: float, loss: float, jitter: float) -> None:
    """Send packets until the process is terminated."""
    import socket

    frames = list(read_track("talk").frames())
    network = BadNetwork(loss=loss, jitter=jitter, burst=2.0, seed=0)
    began = time.monotonic()
    waiting = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for index in count():
            time.sleep(max(0.0, began + index / fps - time.monotonic()))
            now = time.monotonic()
            frame = frames[int((now - began) * 25) % len(frames)]
            angle = 2 * np.pi * (now % PERIOD) / PERIOD
            weights = frame.expression.copy()
            weights[COSINE] = 0.5 * np.cos(angle)
            weights[SINE] = 0.5 * np.sin(angle)
            packet = encode("openhead", weights, frame.pose, time=FAST * now, sequence=index)
            waiting += [(now + delay, packet) for delay in network.delays()]
            for _, due in sorted(entry for entry in waiting if entry[0] <= now):
                out.sendto(due, ("127.0.0.1", PORT))
            waiting = [entry for entry in waiting if entry[0] > now]


def resident() -> float:
    """Megabytes of resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class MonitoredDriver:
    """A driver that measures the age of each drawn face and prints a row every minute."""

    def __init__(self, tracker: object, clock: RealTime) -> None:
        self._tracker = tracker
        self._clock = clock
        self.ages = Latencies()
        self._began = self._last = time.monotonic()
        self._minute: list[float] = []
        self._state: DriverState | None = None

    def pose_at(self, now: float) -> DriverState | None:
        self._state = self._tracker.pose_at(now)
        return self._state

    def wait(self, seconds: float) -> None: ...

    def calibrate(self) -> None: ...

    def drawn(self, tick: int, image: np.ndarray) -> None:
        now = time.monotonic()
        state = self._state
        if state is not None and state.captured is not None and now - self._began > 2:
            cosine, sine = state.expression[[COSINE, SINE]]
            sent = np.arctan2(sine, cosine) / (2 * np.pi) * PERIOD
            age = (now - sent + PERIOD / 2) % PERIOD - PERIOD / 2
            self.ages.add(age)
            self._minute.append(age)
        if now - self._last >= 60:
            ages = np.array(self._minute) * 1e3
            click.echo(
                f"| {(now - self._began) / 60:.0f} | {resident():.1f} | {np.median(ages):.2f} | "
                f"{np.percentile(ages, 95):.1f} | {ages.max():.1f} | {self._clock.missed} |"
            )
            self._last = now
            self._minute = []


@click.command()
@click.option("--minutes", default=30.0)
@click.option("--avatar", default="sample")
@click.option("--fps", default=60.0, help="Packets and images a second.")
@click.option("--size", default=512)
@click.option("--threads", type=int)
@click.option("--loss", default=0.0)
@click.option("--jitter", type=DURATION, default="0")
def main(
    minutes: float,
    avatar: str,
    fps: float,
    size: int,
    threads: int | None,
    loss: float,
    jitter: float,
) -> None:
    sender = multiprocessing.get_context("spawn").Process(
        target=send, args=(fps, loss, jitter), daemon=True
    )
    about = machine()
    click.echo(
        f"{about['processor']}, {about['cores']} cores, load {about['load_average']}; {fps:g} "
        f"packets and images a second, {size} x {size}, loss {loss:g}, jitter {1e3 * jitter:g} ms"
    )
    click.echo(
        "| minute | MB | median age ms | p95 | worst | ticks left out |\n|---|---|---|---|---|---|"
    )
    frames = FrameCounts()
    clock = RealTime(fps)
    with (
        Player(avatar, size=size, threads=threads) as player,
        listen(f"udp://127.0.0.1:{PORT}", player.avatar) as tracker,
    ):
        sender.start()
        driver = MonitoredDriver(tracker, clock)
        view = Viewpoint(player, Controls(), follow=True)
        run_loop(view, driver, clock, driver.drawn, frames, duration=60 * minutes + 1)
        note = tracker.motion.latency_note
        packets = dict(tracker.motion.counts)
    sender.terminate()
    click.echo(f"drawn {frames.drawn}, packets {packets}")
    click.echo(f"age of the drawn face, drawing included: {driver.ages}; {note}")


if __name__ == "__main__":
    main()
