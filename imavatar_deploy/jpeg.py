"""JPEG files in memory, and their `data:` addresses, by which a page embeds them."""

from __future__ import annotations

import base64

import cv2

from .arrays import Array, UInt8


def encode_jpeg(picture: UInt8[Array, "H W 3"], quality: int) -> bytes:
    """Return an RGB picture as a JPEG file.

    Args:
        quality: 0 to 100.
    """
    _, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return encoded.tobytes()


def jpeg_address(jpeg: bytes) -> str:
    """Return the `data:` address that holds a JPEG file."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
