"""A brisk head-shake over a real socket and a bad network: what the head does, against drawing packets as they come.

    python benchmarks/live_loopback.py [--seconds 30]

Another process sends `live_motion.shake` at 30 a second, with a tracker's noise, through a network that loses, delays,
doubles and turns round; it is asked for 60 times a second in real time. Figures as in `live_motion.py`; here the
latency includes the network's.
"""

from __future__ import annotations

import multiprocessing
import socket
import time

import click
import numpy as np
from live_motion import DISPLAY, WAY, Shown, judged, observations, shake

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.runtime.live.api import listen
from imavatar_deploy.runtime.live.config import LiveConfig
from imavatar_deploy.runtime.live.render_loop import RealTime
from imavatar_deploy.runtime.streams.bad_network import BadNetwork
from imavatar_deploy.runtime.streams.flame_packet import decode, encode

PORT, AGAIN = 9755, 9756
"""The second hears the very same packets, for those who draw them as they come."""

NETWORK = {"loss": 0.2, "jitter": 0.04, "duplicate": 0.1, "burst": 2.0}


def send(began: float, seconds: float, network: dict[str, float]) -> None:
    """The other process: every packet at its moment, by the network's way."""
    truth, fate = shake(), BadNetwork(seed=1, **network)
    times = np.arange(0, seconds, 1 / truth.fps)
    packets = [
        encode("openhead", one.weights, one.pose, time=float(moment), sequence=index)
        for index, (one, moment) in enumerate(
            zip(observations(truth, times, seed=2), times, strict=True)
        )
    ]
    arrivals = sorted(
        (moment + delay, index) for index, moment in enumerate(times) for delay in fate.delays()
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for due, index in arrivals:
            time.sleep(max(0.0, began + due - time.monotonic()))
            for port in (PORT, AGAIN):
                out.sendto(packets[index], ("127.0.0.1", port))


def watch(
    seconds: float, choices: LiveConfig, network: dict[str, float]
) -> tuple[Shown, Shown, dict[str, int]]:
    """What is shown by the motion, and by drawing what came last; and what became of the packets."""
    rows, last, came = [], [], None
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain,
        listen(f"udp://127.0.0.1:{PORT}", open_avatar("sample").avatar, choices) as tracker,
    ):
        plain.bind(("127.0.0.1", AGAIN))
        plain.setblocking(False)
        began = time.monotonic() + 2.0  # a new process takes its time
        sender = multiprocessing.get_context("spawn").Process(
            target=send, args=(began, seconds, network)
        )
        sender.start()
        for _, now in RealTime(DISPLAY).ticks():
            if now - began > seconds:
                break
            shown = tracker.pose_at(now)
            while (packet := _next(plain)) is not None:
                came = decode(packet)
            if shown is not None and shown.captured is not None and now - began > 2:
                rows.append((now - began + WAY, shown.expression, shown.pose))
                last.append((now - began + WAY, came.weights, came.pose))
        sender.join()
        return (
            _shown(rows),
            _shown(last),
            {name: count for name, count in tracker.motion.counts.items() if count},
        )


def _next(plain: socket.socket) -> bytes | None:
    try:
        return plain.recv(2048)
    except BlockingIOError:
        return None


def _shown(rows: list[tuple[float, np.ndarray, np.ndarray]]) -> Shown:
    times, expressions, poses = zip(*rows, strict=True)
    return Shown(np.array(times), np.array(expressions), np.array(poses), np.array(times), [], 0.0)


@click.command()
@click.option("--seconds", default=30.0)
def main(seconds: float) -> None:
    """Print the table."""
    click.echo(
        "| network | shown | expression RMS | worst channel p95 | worst bone RMS, degrees | p95 | ",
        nl=False,
    )
    click.echo("acceleration | latency, ms | packets |\n|---|---|---|---|---|---|---|---|---|")
    for network in ({}, NETWORK):
        name = ", ".join(f"{key} {value:g}" for key, value in network.items()) or "loopback alone"
        for latency in (None, 0.1):
            smooth, newest, counts = watch(seconds, LiveConfig(latency=latency), network)
            figures = judged(shake(), smooth).rpartition(" | ")[0]
            click.echo(f"| {name} | latency {latency or 'auto'} | {figures} | {counts} |")
        click.echo(
            f"| {name} | newest, as it comes | {judged(shake(), newest).rpartition(' | ')[0]} | |"
        )


if __name__ == "__main__":
    main()
