"""Our own stream, FLAME over UDP (`docs/flame-stream.md`): any program's expression codes, or ARKit weights."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.conventions import EXPRESSION_SIZE

from ..streams.flame_packet import ARKIT, MOST_BYTES, Float, decode
from .observation import Observation
from .source import Parser, Protocol


def parse(packet: bytes) -> tuple[Observation, ...]:
    """One packet -> one observation; none where the sender saw no face.

    Raises:
        InputError: the packet is malformed.
    """
    sent = decode(packet)
    if not len(sent.weights):
        return ()
    weights = sent.weights if sent.edition == ARKIT else _first_fifty(sent.weights)
    return (Observation(sent.edition, weights, sent.pose, sent.time, sent.sequence),)


def _first_fifty(code: Float) -> Float:
    """What an avatar has of a code: FLAME's axes come in order of their variance, so those left out matter least."""
    fifty = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
    kept = code[:EXPRESSION_SIZE]
    fifty[: len(kept)] = kept
    return fifty


def _parser() -> Parser:
    return parse


PROTOCOL = Protocol(
    scheme="udp",
    description="FLAME over UDP, from imavatar-send or a program of yours",
    port=9000,
    most_bytes=MOST_BYTES,
    fps=30.0,
    vocabulary=None,
    parser=_parser,
)
