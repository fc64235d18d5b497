"""A fast head-shake over a real socket and a simulated bad network, with and without filtering.

    python benchmarks/live_loopback.py [--seconds 30]

Another process sends `live_motion.shake` at 30 packets a second, with a tracker's noise, through a
network that loses, delays, duplicates and reorders them. The pose is read 60 times a second in real
time, from the motion pipeline and from the newest packet. Figures are those of `live_motion.py`;
the latency includes that of the network.
"""

from __future__ import annotations

import multiprocessing
import socket
import time

import click
import numpy as np
from live_motion import DISPLAY, WAY, Shown, figures, observations, shake

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.runtime.live.api import listen
from imavatar_deploy.runtime.live.config import LiveConfig
from imavatar_deploy.runtime.live.render_loop import RealTime
from imavatar_deploy.runtime.streams.bad_network import BadNetwork
from imavatar_deploy.runtime.streams.flame_packet import decode, encode

PORT = 9755
PLAIN_PORT = 9756
"""Receives copies of the packets, for the comparison without filtering."""

NETWORK = {"loss": 0.2, "jitter": 0.04, "duplicate": 0.1, "burst": 2.0}


def send(began: float, seconds: float, network: dict[str, float]) -> None:
    """Send every packet at its time of arrival in the simulated network; runs in a process."""
    truth = shake()
    bad_network = BadNetwork(seed=1, **network)
    times = np.arange(0, seconds, 1 / truth.fps)
    packets = [
        encode("openhead", face.weights, face.pose, time=float(moment), sequence=index)
        for index, (face, moment) in enumerate(
            zip(observations(truth, times, seed=2), times, strict=True)
        )
    ]
    arrivals = sorted(
        (moment + delay, index)
        for index, moment in enumerate(times)
        for delay in bad_network.delays()
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for due, index in arrivals:
            time.sleep(max(0.0, began + due - time.monotonic()))
            for port in (PORT, PLAIN_PORT):
                out.sendto(packets[index], ("127.0.0.1", port))


def watch(
    seconds: float, config: LiveConfig, network: dict[str, float]
) -> tuple[Shown, Shown, dict[str, int]]:
    """Motions of the pipeline and of the newest packet, and the counts of packets by their use."""
    rows = []
    plain_rows = []
    newest = None
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain,
        listen(f"udp://127.0.0.1:{PORT}", open_avatar("sample").avatar, config) as tracker,
    ):
        plain.bind(("127.0.0.1", PLAIN_PORT))
        plain.setblocking(False)
        began = time.monotonic() + 2.0  # time for the process to start
        sender = multiprocessing.get_context("spawn").Process(
            target=send, args=(began, seconds, network)
        )
        sender.start()
        for _, now in RealTime(DISPLAY).ticks():
            if now - began > seconds:
                break
            state = tracker.pose_at(now)
            while (packet := _next(plain)) is not None:
                newest = decode(packet)
            if state is not None and state.captured is not None and now - began > 2:
                rows.append((now - began + WAY, state.expression, state.pose))
                plain_rows.append((now - began + WAY, newest.weights, newest.pose))
        sender.join()
        counts = {name: count for name, count in tracker.motion.counts.items() if count}
        return _shown(rows), _shown(plain_rows), counts


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
            row = figures(shake(), smooth).rpartition(" | ")[0]
            click.echo(f"| {name} | latency {latency or 'auto'} | {row} | {counts} |")
        row = figures(shake(), newest).rpartition(" | ")[0]
        click.echo(f"| {name} | newest packet | {row} | |")


if __name__ == "__main__":
    main()
