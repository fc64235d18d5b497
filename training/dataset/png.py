"""PNG files are walked before they are decoded: what is cut short or damaged is said in words, not by a C library."""

from __future__ import annotations

import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def damage(data: bytes) -> str | None:
    """What is wrong with the chunks of a PNG file, or None; a file of another format is not judged.

    OpenCV returns what it got of a file that is cut short, depending on its version.
    """
    if not data.startswith(SIGNATURE):
        return None if data else "it is empty"
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        body, end = data[at + 4 : at + 8 + size], at + 12 + size
        if end > len(data):
            break
        if zlib.crc32(body) != int.from_bytes(data[end - 4 : end], "big"):
            return "a checksum in it is wrong"
        if body[:4] == b"IEND":
            return None
        at = end
    return "it is cut short"
