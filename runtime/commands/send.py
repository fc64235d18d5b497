"""imavatar-send: sends a motion over UDP, to this package or to other programs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice

import click
import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.cli.command import Command, closing_lines, progress
from imavatar_deploy.cli.options import DURATION, FRAMES_HELP, FRAMES_METAVAR, frames_of
from imavatar_deploy.conventions import EDITIONS, EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.errors import UsageError, excerpt, unknown_name
from imavatar_deploy.progress import human_bytes, tell
from imavatar_deploy.tracks import FlameTrack, read_track
from imavatar_deploy.tracks.edit import recorded_at, retimed

from ..sources import SOURCES, LiveSource, open_source
from ..sources import track as track_source
from ..sources.flame_udp import PROTOCOL
from ..streams.arkit_packets import PORTS, arkit_face
from ..streams.bad_network import BadNetwork, through
from ..streams.flame_packet import ENCODINGS
from ..streams.sending import (
    Channel,
    packets,
    packets_for_programs,
    send_live,
    send_on_time,
)
from ..streams.udp_address import UdpAddress, receiver_of, sending_socket

TARGETS = {PROTOCOL.scheme: PROTOCOL.port, **PORTS}
"""Schemes of receivers, and the port that each listens at by default."""


def _receiver(text: str) -> tuple[str, UdpAddress]:
    scheme = text.partition("://")[0].lower()
    scheme = scheme if scheme in TARGETS else PROTOCOL.scheme
    return scheme, receiver_of(text, scheme, TARGETS[scheme])


def _is_live(target: str) -> bool:
    """Whether a motion is a camera, a clip or a stream, and no track."""
    return any(row.matches(target) for row in SOURCES if row is not track_source.FORMAT)


def _edition(track: FlameTrack, option: str | None) -> str:
    edition = option or track.edition
    if edition is None:
        raise UsageError(
            "the track does not state the head model of its codes: add --edition, one of "
            f"{', '.join(EDITIONS)}"
        )
    if edition not in EDITIONS:
        raise unknown_name("edition", edition, EDITIONS)
    return edition


def _count(track: FlameTrack, loop: bool, duration: float | None) -> int | None:
    """Number of frames to send; None: without end."""
    if duration is not None and duration <= 0:
        raise UsageError(f"--duration must be more than 0 seconds, got {duration}")
    limit = None if duration is None else max(1, round(duration * track.fps))
    if loop:
        return limit
    return len(track) if limit is None else min(limit, len(track))


@click.command(
    cls=Command,
    interrupted="no more packets are sent",
    epilog="""\b
Examples:
  imavatar-send talk --loop
  imavatar-send flame_params.json --to udp://192.168.1.20:9000 --encoding int16
  imavatar-send take.csv --to osc://:39539 --loop
  imavatar-send webcam:0 --to livelink://192.168.1.20
  imavatar-send talk --loop --duration 1min --loss 0.2 --burst 5 --jitter 40ms --duplicate 0.05

Start the receiver first, in another terminal:
  imavatar-run sample --source udp://:9000 --sink window""",
)
@click.argument("track")
@click.option(
    "--to",
    default="udp://:9000",
    show_default=True,
    metavar="SCHEME://HOST:PORT",
    help="Address of the receiver. udp: imavatar-run, or a program of yours; osc: the VMC "
    "protocol, for VSeeFace, Warudo, VMagicMirror and others; livelink: Unreal, as Live Link Face.",
)
@click.option(
    "--fps",
    type=float,
    help="Packets a second; the motion keeps its speed.  [default: the motion's]",
)
@click.option(
    "--recorded-fps",
    type=float,
    help="Frames a second of TRACK, where it does not state them.",
)
@click.option(
    "--frames",
    default=":",
    metavar=FRAMES_METAVAR,
    help=f"Only these frames of the motion: {FRAMES_HELP}",
)
@click.option("--loop", is_flag=True, help="Begin again at the end, until Ctrl-C or --duration.")
@click.option("--duration", type=DURATION, help="Stop after so long, such as 30s or 5min.")
@click.option(
    "--encoding",
    type=click.Choice(list(ENCODINGS)),
    default="float32",
    show_default=True,
    help="float32: exact, 296 bytes a packet; int16: 166 bytes, with an error of at most 1.6e-5 of "
    "the largest value.",
)
@click.option(
    "--edition",
    help=f"Head model of the codes, in place of the track's own: {', '.join(EDITIONS)}.",
)
@click.option(
    "--loss", default=0.0, help="Share of packets that the simulated network loses, 0..1."
)
@click.option("--burst", default=1.0, help="Mean number of packets that it loses in a row.")
@click.option(
    "--jitter",
    type=DURATION,
    default="0ms",
    help="Longest delay, such as 40ms; later packets may overtake.",
)
@click.option("--duplicate", default=0.0, help="Share of packets that it delivers twice, 0..1.")
@click.option("--seed", default=0, help="Seed of its random numbers.")
def send(
    track: str,
    to: str,
    fps: float | None,
    recorded_fps: float | None,
    frames: str,
    loop: bool,
    duration: float | None,
    encoding: str,
    edition: str | None,
    loss: float,
    burst: float,
    jitter: float,
    duplicate: float,
    seed: int,
) -> None:
    """Send TRACK in real time over UDP.

    TRACK is a track file, the word 'talk', or a live source, such as webcam:0, which makes this
    camera the tracker of other programs. osc and livelink carry ARKit's 52 weights, which
    OpenHead's codes are; udp carries the codes of any head model (docs/flame-stream.md).
    """
    scheme, address = _receiver(to)
    if _is_live(track):
        chosen = (frames != ":", fps, recorded_fps, loop, edition, loss, duplicate, jitter)
        if any(chosen):
            raise UsageError(
                f"{excerpt(track)} is live: leave out --frames, --fps, --recorded-fps, --loop, "
                "--edition and the options of the simulated network"
            )
        _send_live(track, scheme, address, encoding, duration)
        return
    motion = recorded_at(read_track(track), recorded_fps).select(frames_of(frames))
    for note in motion.notes:
        tell(f"note: {note}")
    motion = retimed(motion, motion.fps if fps is None else fps)
    stated_edition = _edition(motion, edition)
    if scheme != PROTOCOL.scheme:  # refuse other codes before the first packet
        arkit_face(stated_edition, *_rest_face(), 0.0, 0)
    total = _count(motion, loop, duration)
    network = BadNetwork(loss=loss, burst=burst, jitter=jitter, duplicate=duplicate, seed=seed)
    opened = sending_socket(address)
    channel = Channel(opened)
    began = time.monotonic()
    stream: Iterator[tuple[float, bytes]]
    if scheme == PROTOCOL.scheme:
        every = packets(motion, stated_edition, encoding=encoding, began=began, loop=loop)
        stream = islice(every, total)
    else:
        stream = packets_for_programs(motion, stated_edition, scheme, loop=loop, frames=total)
        total = None
    try:
        with opened, progress(f"sending to {address}", total) as advance:

            def transmit(packet: bytes) -> None:
                channel.send(packet)
                advance(1)

            send_on_time(through(network, stream), transmit, began)
    finally:
        _report(channel, network, scheme, address, time.monotonic() - began)


def _rest_face() -> tuple[Float32[Array, "50"], Float32[Array, "15"]]:
    return np.zeros(EXPRESSION_SIZE, np.float32), np.zeros(POSE_SIZE, np.float32)


def _send_live(
    target: str, scheme: str, address: UdpAddress, encoding: str, duration: float | None
) -> None:
    """Send the faces of a camera, a clip or a stream as they come."""
    if duration is not None and duration <= 0:
        raise UsageError(f"--duration must be more than 0 seconds, got {duration}")
    began = time.monotonic()
    with open_source(target) as source, sending_socket(address) as opened:
        if not isinstance(source, LiveSource):
            raise UsageError(f"{excerpt(target)} is no live source")
        tell(f"{source.listening}, sending to {scheme}://{address}")
        channel = Channel(opened)
        try:
            send_live(source, scheme, encoding, channel.send, duration)
        finally:
            _report(channel, BadNetwork(), scheme, address, time.monotonic() - began)


def _report(
    channel: Channel, network: BadNetwork, scheme: str, address: UdpAddress, seconds: float
) -> None:
    network_effect = (
        f", withheld {network.lost}, doubled {network.doubled}"
        if network.lost or network.doubled
        else ""
    )
    rate = channel.packets / max(seconds, 1e-9)
    amount = f"{channel.packets} packets ({human_bytes(channel.bytes)})"
    click.echo(f"sent {amount} to {address}, {rate:.1f} a second{network_effect}")
    if channel.refused:
        tell(
            f"{channel.refused} of them were refused, since no program listened: start the "
            "receiver first, and end it last"
        )
    click.echo(
        closing_lines(
            [], seconds, [f"imavatar-run sample --source {scheme}://:{address.port} --sink window"]
        )
    )
