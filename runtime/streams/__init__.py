"""Streams: motion on its way through a network: our own packet, addresses, and a bad network to try a setup with."""

from __future__ import annotations

from .flame_packet import EDITION_CODES, ENCODINGS, FlamePacket, decode, encode

__all__ = ["EDITION_CODES", "ENCODINGS", "FlamePacket", "decode", "encode"]
