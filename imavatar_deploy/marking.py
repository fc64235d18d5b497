"""Machine-readable marks in files: the face is synthetic.

Every mark states the IPTC digital source type `trainedAlgorithmicMedia`. A mark depends on nothing
but its format: equal content gives equal bytes. What is written where: `docs/synthetic-media.md`.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

TERM = "trainedAlgorithmicMedia"
"""IPTC's term for media that a trained model generates."""

SOURCE_TYPE = f"http://cv.iptc.org/newscodes/digitalsourcetype/{TERM}"
"""The term in IPTC's vocabulary of digital source types."""

STATEMENT = "Synthetic media: the face is rendered by a trained avatar (imavatar-deploy)."
"""The mark in words."""

COMMENT = f"{STATEMENT} digitalSourceType: {SOURCE_TYPE}"
"""The mark in one line, for formats with comments."""

KEY = "synthetic_media"
"""Key of the mark in files that hold JSON-like data."""

HTTP_HEADER = "Synthetic-Media"
"""Header of the responses of the live page; its value is `SOURCE_TYPE`."""

XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about=""'
    ' xmlns:dc="http://purl.org/dc/elements/1.1/"'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
    f"<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>"
    f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{STATEMENT}</rdf:li></rdf:Alt>'
    "</dc:description>"
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
    '<?xpacket end="r"?>'
).encode()
"""The mark as an XMP packet (ISO 16684-1) with IPTC's property."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

XMP_KEYWORD = b"XML:com.adobe.xmp"
"""Keyword of the PNG chunk that holds XMP."""

JPEG_START = b"\xff\xd8"

JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
"""Beginning of the JPEG segment that holds XMP."""

MP4_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""Type of the `uuid` box that holds XMP in an MP4 file (ISO 16684-3)."""

GIF_TRAILER = b"\x3b"

GIF_XMP = b"\x21\xff\x0bXMP DataXMP"
"""Beginning of the application extension that holds XMP in a GIF file (ISO 16684-3)."""

GIF_XMP_END = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
"""Lengths that lead readers of sub-blocks to the end of the XMP, wherever they enter them."""


def mark() -> dict[str, Any]:
    """The mark as JSON-ready values: the extras of a glTF, the custom data of a USD layer."""
    return {"synthetic": True, "digitalSourceType": SOURCE_TYPE, "statement": STATEMENT}


def extras(synthetic_mark: bool) -> dict[str, Any]:
    """The mark under its `KEY`; empty where it is switched off."""
    return {KEY: mark()} if synthetic_mark else {}


def texts(synthetic_mark: bool = True) -> dict[str, str]:
    """The mark as pairs of texts: the metadata of an ONNX graph; empty where it is switched off."""
    if not synthetic_mark:
        return {}
    return {name: str(value).lower() if value is True else value for name, value in mark().items()}


def comment_lines(prefix: str, synthetic_mark: bool = True) -> list[str]:
    """The mark as comment lines of a text format; none where it is switched off."""
    lines = (STATEMENT, f"digitalSourceType: {SOURCE_TYPE}")
    return [f"{prefix} {line}" for line in lines] if synthetic_mark else []


def marked_png(png: bytes) -> bytes:
    """Return a PNG with the mark in two text chunks: `Comment` and XMP.

    Args:
        png: the bytes of the file.
    """
    end_of_header = len(PNG_SIGNATURE) + 12 + struct.unpack(">I", png[8:12])[0]
    # iTXt: keyword, compression flag and method, language, translated keyword, text
    international = XMP_KEYWORD + b"\x00\x00\x00\x00\x00" + XMP
    chunks = _chunk(b"tEXt", b"Comment\x00" + COMMENT.encode("latin-1"))
    chunks += _chunk(b"iTXt", international)
    return png[:end_of_header] + chunks + png[end_of_header:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def marked_jpeg(jpeg: bytes) -> bytes:
    """Return a JPEG with the mark as XMP, in an APP1 segment behind the JFIF segment.

    Args:
        jpeg: the bytes of the file.
    """
    content = JPEG_XMP + XMP
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(content)) + content
    at = len(JPEG_START)
    if jpeg[at : at + 2] == b"\xff\xe0":  # JFIF's segment stays the first
        at += 2 + struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
    return jpeg[:at] + segment + jpeg[at:]


def append_mp4_xmp(path: Path) -> None:
    """Append the mark as XMP to an MP4 file, in a `uuid` box at its end."""
    content = MP4_XMP + XMP
    with path.open("ab") as file:
        file.write(struct.pack(">I", 8 + len(content)) + b"uuid" + content)


def append_gif_mark(path: Path) -> None:
    """Append the mark to a GIF file before its trailer: a comment extension and XMP.

    Raises:
        ValueError: the file does not end as a GIF does.
    """
    comment = COMMENT.encode("latin-1")
    parts = [comment[at : at + 255] for at in range(0, len(comment), 255)]
    blocks = b"".join(bytes([len(part)]) + part for part in parts)
    with path.open("r+b") as file:
        file.seek(-1, 2)
        if file.read() != GIF_TRAILER:
            raise ValueError(f"{path} does not end with the trailer of a GIF")
        file.seek(-1, 2)
        file.write(b"\x21\xfe" + blocks + b"\x00")
        file.write(GIF_XMP + XMP + GIF_XMP_END + GIF_TRAILER)
