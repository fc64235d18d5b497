"""Motion over a network: the FLAME packet, UDP addresses, sending, and a simulated bad network."""

from __future__ import annotations

from .flame_packet import EDITION_CODES, ENCODINGS, FlamePacket, decode, encode

__all__ = ["EDITION_CODES", "ENCODINGS", "FlamePacket", "decode", "encode"]
