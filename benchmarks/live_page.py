"""A long run behind its page: its memory, and what 20 followers receive, one of them stalled.

    python benchmarks/live_page.py [--minutes 10] [--followers 20] [--viewers 2] [--size 256]

`imavatar-send talk --loop` sends to `imavatar-run sample --sink http://`; each has a process of its
own. Followers of the WebSocket and viewers of the pictures are connected from this process. One
follower does not read what it is sent; where it is disconnected, it connects again and does not
read. The resident memory is that of the run's process. It needs Linux.

    python benchmarks/live_page.py --rounds 5 [--followers 3] [--size 256]

measures the CPU time of the run instead: where followers of the motion alone are connected, where
one viewer of pictures is, too, and where another sink needs every image. The three alternate.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import click

from imavatar_deploy.runtime.streams import decode
from imavatar_deploy.runtime.timing import machine

PORT = 9754
START = 60.0
"""Seconds for the run to start."""

COMMAND = "from imavatar_deploy.runtime.commands import {0}; {0}()"


@dataclass
class Received:
    """What one follower received."""

    packets: int = 0
    payload: int = 0
    lost: int = 0
    last: int | None = None
    gaps: list[float] = field(default_factory=list)

    def add(self, data: bytes, now: float, before: float) -> None:
        sequence = decode(data).sequence
        if self.last is not None:
            self.lost += sequence - self.last - 1
            self.gaps.append(now - before)
        self.last = sequence
        self.packets += 1
        self.payload += len(data)


async def follow(session: aiohttp.ClientSession, received: Received) -> None:
    async with session.ws_connect("/live") as socket_:
        before = time.monotonic()
        async for message in socket_:
            now = time.monotonic()
            received.add(message.data, now, before)
            before = now


async def watch(session: aiohttp.ClientSession) -> None:
    async with session.get("/stream.mjpg") as answer:
        async for _ in answer.content.iter_any():
            """Drop the pictures."""


async def stall(port: int, connected: list[float]) -> None:
    """Connect, do not read, and connect again after the disconnection."""
    request = (
        b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    while True:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect(("127.0.0.1", port))
        client.sendall(request)
        connected.append(time.monotonic())
        with client:
            while not _is_cut(client):
                await asyncio.sleep(1)


def _is_cut(client: socket.socket) -> bool:
    """Whether the other side has closed: the state in Linux' tcp_info is no longer 1."""
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1


def resident(process: int) -> float:
    """MB of a process."""
    text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


async def measure(run: subprocess.Popen[str], port: int, minutes: float, count: int, viewers: int):
    rows = [Received() for _ in range(count - 1)]
    connected: list[float] = []
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        base_url=f"http://127.0.0.1:{port}",
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None),
    ) as session:
        tasks = [asyncio.create_task(follow(session, row)) for row in rows]
        tasks += [asyncio.create_task(watch(session)) for _ in range(viewers)]
        tasks.append(asyncio.create_task(stall(port, connected)))
        began = time.monotonic()
        print(
            "| minute | MB | lost by the 19 | connections of the stalled one |\n|--:|--:|--:|--:|"
        )
        for half in range(1, int(2 * minutes) + 1):
            await asyncio.sleep(began + 30 * half - time.monotonic())
            lost = sum(row.lost for row in rows)
            print(
                f"| {half / 2:g} | {resident(run.pid):.1f} | {lost} | {len(connected)} |",
                flush=True,
            )
        seconds = time.monotonic() - began
        metrics = await (await session.get("/metrics")).text()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    gaps = sorted(gap for row in rows for gap in row.gaps)
    packets = [row.packets for row in rows]
    rate = sum(row.payload for row in rows) / len(rows) / seconds / 1e3
    print(f"\npackets of a follower: {min(packets)} to {max(packets)}, {rate:.1f} KB a second")
    print(
        "gaps between packets, ms: "
        + ", ".join(f"p{q} {1e3 * gaps[int(q / 100 * (len(gaps) - 1))]:.0f}" for q in (50, 95, 99))
    )
    for line in metrics.splitlines():
        if line.startswith("imavatar_packets"):
            print(line)


# CPU time of drawing

ROUND_SECONDS = 15.0
"""Seconds of one measurement."""

SETTLING_SECONDS = 3.0
"""Seconds before it, for connections to be made."""

CASES = (("followers alone", 0, ()), ("and one viewer of pictures", 1, ()))
CASES += (("and --sink null, which draws every frame", 0, ("--sink", "null")),)


def cpu_seconds(process: int) -> float:
    """CPU time of a process so far, of all its threads."""
    text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


async def cpu_share(
    run: subprocess.Popen[str], port: int, followers: int, viewers: int
) -> tuple[float, float, float]:
    """CPU seconds of a run in a second; its frames, and those that were drawn, a second."""
    async with aiohttp.ClientSession(base_url=f"http://127.0.0.1:{port}") as session:
        tasks = [asyncio.create_task(follow(session, Received())) for _ in range(followers)]
        tasks += [asyncio.create_task(watch(session)) for _ in range(viewers)]
        await asyncio.sleep(SETTLING_SECONDS)
        readings = []
        for _ in range(2):
            figures = (await (await session.get("/stats.json")).json())["figures"]
            readings.append(
                (time.monotonic(), cpu_seconds(run.pid), figures["sent"], figures["drawn"])
            )
            if len(readings) == 1:
                await asyncio.sleep(ROUND_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    seconds, *rest = (after - before for before, after in zip(*readings, strict=True))
    cpu, sent, drawn = (each / seconds for each in rest)
    return cpu, sent, drawn


def compare_drawing(rounds: int, followers: int, size: int) -> None:
    """Print the CPU time of each case, in turn in every round."""
    print("| round | connected | CPU s a second | frames a second | drawn a second |")
    print("|--:|:--|--:|--:|--:|")
    shares: dict[str, list[float]] = {name: [] for name, *_ in CASES}
    for number in range(1, rounds + 1):
        for name, viewers, options in CASES:
            with started_run(size, *options) as (run, port):
                cpu, sent, drawn = asyncio.run(cpu_share(run, port, followers, viewers))
            shares[name].append(cpu)
            print(f"| {number} | {name} | {cpu:.3f} | {sent:.1f} | {drawn:.1f} |", flush=True)
    print()
    for name, values in shares.items():
        print(f"{name}: median {sorted(values)[len(values) // 2]:.3f} CPU seconds a second")


@contextmanager
def started_run(size: int, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A sender, and a run that plays it behind a page; yields the run and the port of its page."""
    python = [sys.executable, "-c"]
    send = [*python, COMMAND.format("imavatar_send"), "talk", "--to", f"udp://:{PORT}", "--loop"]
    play = [*python, COMMAND.format("imavatar_run"), "sample", "--source", f"udp://:{PORT}"]
    play += ["--sink", "http://127.0.0.1:0", "--size", str(size), *options]
    with (
        subprocess.Popen(send, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as sender,
        subprocess.Popen(play, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as run,
    ):
        try:
            assert run.stderr is not None
            match = None
            while match is None and (line := run.stderr.readline()):
                match = re.search(r"page: http://[^:]+:(\d+)", line)
            assert match, "the run has ended"
            yield run, int(match[1])
        finally:
            sender.terminate()
            run.terminate()


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--followers", default=20, show_default=True)
@click.option("--viewers", default=2, show_default=True)
@click.option("--size", default=256, show_default=True)
@click.option("--rounds", default=0, help="Measure the CPU time of drawing, so many times.")
def main(minutes: float, followers: int, viewers: int, size: int, rounds: int) -> None:
    """Measure one run, or the CPU time of several."""
    here = machine()
    print(
        f"{here['processor']}, {here['cores']} cores, load {here['load_average']}; "
        f"{followers} followers, {viewers} viewers of pictures, {size} pixels\n"
    )
    if rounds:
        compare_drawing(rounds, followers, size)
        return
    with started_run(size) as (run, port):
        asyncio.run(measure(run, port, minutes, followers, viewers))


if __name__ == "__main__":
    main()
