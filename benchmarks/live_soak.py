"""A long run from the socket to the picture: does its memory stay flat, and its output with the sender's clock?

    python benchmarks/live_soak.py [--minutes 30] [--fps 60] [--size 512] [--loss 0.05 --jitter 20ms]

Another process sends the bundled motion at `--fps` in packets of our own protocol, its clock running 50 parts in a
million too fast, so it gains 90 ms in half an hour. Two channels of the expression carry the true time as a phase, so
the age of what is shown (network, buffer, smoothing, waiting for the tick, drawing) is read from the picture's own
face, whatever the clocks say.
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
"""Seconds that the phase takes to come round; an age is known modulo that."""
COSINE, SINE = 48, 49
FAST = 1 + 50e-6


def send(fps: float, loss: float, jitter: float) -> None:
    """The other process: until it is ended."""
    import socket

    frames, network = (
        list(read_track("talk").frames()),
        BadNetwork(loss=loss, jitter=jitter, burst=2.0, seed=0),
    )
    began, waiting = time.monotonic(), []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for index in count():
            time.sleep(max(0.0, began + index / fps - time.monotonic()))
            now = time.monotonic()
            frame = frames[int((now - began) * 25) % len(frames)]
            weights, angle = frame.expression.copy(), 2 * np.pi * (now % PERIOD) / PERIOD
            weights[COSINE], weights[SINE] = 0.5 * np.cos(angle), 0.5 * np.sin(angle)
            packet = encode("openhead", weights, frame.pose, time=FAST * now, sequence=index)
            waiting += [(now + delay, packet) for delay in network.delays()]
            for _, ready in sorted(one for one in waiting if one[0] <= now):
                out.sendto(ready, ("127.0.0.1", PORT))
            waiting = [one for one in waiting if one[0] > now]


def resident() -> float:
    """Megabytes that this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Minutes:
    """Looks on as the tracker is asked, and says every minute how it goes."""

    def __init__(self, tracker: object, pace: RealTime) -> None:
        self._tracker, self._pace = tracker, pace
        self.ages = Latencies()
        self._began = self._last = time.monotonic()
        self._minute: list[float] = []
        self._shown: DriverState | None = None

    def pose_at(self, now: float) -> DriverState | None:
        self._shown = self._tracker.pose_at(now)
        return self._shown

    def wait(self, seconds: float) -> None: ...

    def calibrate(self) -> None: ...

    def drawn(self, tick: int, image: np.ndarray) -> None:
        now = time.monotonic()
        if self._shown is not None and self._shown.captured is not None and now - self._began > 2:
            cosine, sine = self._shown.expression[[COSINE, SINE]]
            shown = np.arctan2(sine, cosine) / (2 * np.pi) * PERIOD
            age = (now - shown + PERIOD / 2) % PERIOD - PERIOD / 2
            self.ages.add(age)
            self._minute.append(age)
        if now - self._last >= 60:
            ages = np.array(self._minute) * 1e3
            click.echo(
                f"| {(now - self._began) / 60:.0f} | {resident():.1f} | {np.median(ages):.2f} | "
                f"{np.percentile(ages, 95):.1f} | {ages.max():.1f} | {self._pace.missed} |"
            )
            self._last, self._minute = now, []


@click.command()
@click.option("--minutes", default=30.0)
@click.option("--avatar", default="sample")
@click.option("--fps", default=60.0, help="Of the sender and of the pictures.")
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
        f"{about['processor']}, {about['cores']} cores, load {about['load_average']}; {fps:g} packets and pictures a "
        f"second, {size} x {size}, loss {loss:g}, jitter {1e3 * jitter:g} ms"
    )
    click.echo(
        "| minute | MB | median age ms | p95 | worst | ticks left out |\n|---|---|---|---|---|---|"
    )
    frames, pace = FrameCounts(), RealTime(fps)
    with (
        Player(avatar, size=size, threads=threads) as player,
        listen(f"udp://127.0.0.1:{PORT}", player.avatar) as tracker,
    ):
        sender.start()
        looked = Minutes(tracker, pace)
        view = Viewpoint(player, Controls(), follow=True)
        run_loop(view, looked, pace, looked.drawn, frames, duration=60 * minutes + 1)
        note = tracker.motion.latency_note
        packets = dict(tracker.motion.counts)
    sender.terminate()
    click.echo(f"drawn {frames.drawn}, packets {packets}")
    click.echo(f"age of what is shown, drawing included: {looked.ages}; {note}")


if __name__ == "__main__":
    main()
