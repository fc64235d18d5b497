"""FLAME over UDP (`docs/flame-stream.md`): expression codes or ARKit weights from any program, `udp://:9000`."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.conventions import EXPRESSION_SIZE

from ..streams.flame_packet import ARKIT, MOST_BYTES, decode
from .observation import Observation
from .source import Parser, Protocol


def parse(packet: bytes) -> tuple[Observation, ...]:
    """Read one packet into one observation; none where the sender saw no face.

    Raises:
        InputError: the packet is malformed.
    """
    face = decode(packet)
    if not len(face.weights):
        return ()
    weights = face.weights if face.edition == ARKIT else _first_fifty(face.weights)
    return (Observation(face.edition, weights, face.pose, face.time, face.sequence),)


def _first_fifty(code: Float32[Array, " N"]) -> Float32[Array, "50"]:
    """The coefficients that an avatar has, padded with zeros.

    FLAME's axes are in order of variance, so the others matter least.
    """
    fifty = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
    first = code[:EXPRESSION_SIZE]
    fifty[: len(first)] = first
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
