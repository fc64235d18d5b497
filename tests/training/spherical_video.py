"""Videos marked as 360-degree recordings, as cameras mark them."""

from __future__ import annotations

MARK = bytes.fromhex("ffcc8263f8554a938814587a02521fdd") + b"".join(
    [
        b'<?xml version="1.0"?><rdf:SphericalVideo ',
        b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" ',
        b'xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/">',
        b"<GSpherical:Spherical>true</GSpherical:Spherical>",
        b"<GSpherical:Stitched>true</GSpherical:Stitched>",
        b"<GSpherical:StitchingSoftware>s</GSpherical:StitchingSoftware>",
        b"<GSpherical:ProjectionType>equirectangular</GSpherical:ProjectionType>",
        b"</rdf:SphericalVideo>",
    ]
)
"""Body of the box in which cameras state that a video is spherical (Google's version 1)."""


def spherical(content: bytes) -> bytes:
    """Return an .mp4 with the mark in its first track; the index follows the pictures."""
    data = bytearray(content)
    box = (8 + len(MARK)).to_bytes(4, "big") + b"uuid" + MARK
    movie = data.index(b"moov") - 4
    track = data.index(b"trak", movie) - 4
    end = track + int.from_bytes(data[track : track + 4], "big")
    for start in (movie, track):
        size = int.from_bytes(data[start : start + 4], "big") + len(box)
        data[start : start + 4] = size.to_bytes(4, "big")
    data[end:end] = box
    return bytes(data)
