"""Decodes and checks the picture files of a frame: image, mask, labels, normals and depth."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Shaped, UInt8
from imavatar_deploy.errors import InputError, UsageError

from .labels import LABELS

SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""First bytes of a PNG file."""

DECODE_FLAGS = {
    "image": cv2.IMREAD_COLOR,
    "mask": cv2.IMREAD_GRAYSCALE,
    "semantic": cv2.IMREAD_GRAYSCALE,
    "normal": cv2.IMREAD_UNCHANGED,
    "depth": cv2.IMREAD_UNCHANGED,
}
"""Kinds of pictures, and OpenCV's flag to decode each."""

DEEP = {"normal": 3, "depth": 2}
"""Kinds with 16 bits a channel, and the number of dimensions of their arrays."""

OPAQUE = 127.5
"""Value of the matte above which a pixel shows the person (as published)."""

DEPTH_UNIT = 1.0 / 8192.0
"""Model units of one step of a depth picture."""

TARGETS = (8, 4096)
"""Smallest and largest side to which frames may be resized, pixels."""


# Decoding of one file


def damage(data: bytes) -> str | None:
    """Describe the damage of a PNG file, or return None for a sound file or another format.

    Some versions of OpenCV decode the beginning of a file that is cut short, without an error.
    """
    if not data.startswith(SIGNATURE):
        return None if data else "it is empty"
    start = len(SIGNATURE)
    while start + 12 <= len(data):
        size = int.from_bytes(data[start : start + 4], "big")
        body = data[start + 4 : start + 8 + size]
        end = start + 12 + size
        if end > len(data):
            break
        if zlib.crc32(body) != int.from_bytes(data[end - 4 : end], "big"):
            return "a checksum in it is wrong"
        if body[:4] == b"IEND":
            return None
        start = end
    return "it is cut short"


def decode(path: Path, kind: str) -> Shaped[Array, "H W ..."]:
    """Decode a picture file without resizing: RGB `[H, W, 3]` or one channel `[H, W]`.

    Raises:
        InputError: the file is missing, is not a picture, or is not valid for its kind.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        fault = (
            "is missing"
            if isinstance(error, FileNotFoundError)
            else f"cannot be read ({error.strerror})"
        )
        raise InputError(
            f"{path} {fault}: every frame needs its {kind}; restore the file or remove the frame"
        ) from error
    broken = damage(data)
    picture = None
    if broken is None:
        picture = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), DECODE_FLAGS[kind])
    if picture is None:
        reason = broken or "it cannot be decoded"
        raise InputError(
            f"{path} is not a readable picture: {reason}; write it again or remove the frame"
        )
    _check_kind(path, kind, picture)
    return np.ascontiguousarray(picture[..., ::-1]) if picture.ndim == 3 else picture


def side(path: Path) -> int:
    """Return the number of rows of a picture file; of a PNG file its header alone is read.

    Raises:
        InputError: the file is missing or is not a picture.
    """
    try:
        with path.open("rb") as file:
            head = file.read(24)  # signature, length and name of the first chunk, width, height
    except OSError:
        head = b""
    if head.startswith(SIGNATURE) and head[12:16] == b"IHDR" and len(head) == 24:
        return max(int.from_bytes(head[20:24], "big"), 1)
    return int(decode(path, "image").shape[0])


def _check_kind(path: Path, kind: str, picture: Shaped[Array, "H W ..."]) -> None:
    if kind in DEEP and (picture.dtype != np.uint16 or picture.ndim != DEEP[kind]):
        channels = 1 if DEEP[kind] == 2 else 3
        raise InputError(
            f"{path} must have {channels} channel{'s' if channels > 1 else ''} of 16 bits, "
            f"got shape {list(picture.shape)} of {picture.dtype}"
        )
    if kind == "semantic" and picture.max(initial=0) >= len(LABELS):
        raise InputError(
            f"{path} must hold label ids 0..{len(LABELS) - 1}, got {picture.max()}; is it the "
            "coloured picture?"
        )


def check_square(path: Path, picture: Shaped[Array, "H W ..."]) -> None:
    """Check that a picture is square; the published renderer scales both axes by one factor.

    Raises:
        InputError: it is not.
    """
    height, width = picture.shape[:2]
    if height != width:
        raise InputError(
            f"{path} must be square, got {width} x {height} pixels; crop it and adapt the "
            "intrinsics"
        )


def check_same_size(
    path: Path, picture: Shaped[Array, "_ _ ..."], image: Shaped[Array, "H W ..."]
) -> None:
    """Check that a picture has the size of its image.

    Raises:
        InputError: it does not.
    """
    if picture.shape[:2] != image.shape[:2]:
        sizes = [f"{shape[1]} x {shape[0]}" for shape in (picture.shape, image.shape)]
        raise InputError(
            f"{path} must have the size of its image, got {sizes[0]} pixels beside {sizes[1]}"
        )


# Pictures of one frame


class FramePixels(NamedTuple):
    """Decoded pictures of one frame, in the smallest types, as the cache stores them."""

    image: Shaped[Array, "S S 3"]
    """RGB in 0..255, uint8, or float32 where it was resized."""
    mask: Bool[Array, "S S"]
    semantic: UInt8[Array, "S S"] | None
    """Label ids."""
    normal: Shaped[Array, "S S 3"] | None
    """Normals of 16 bits, -1..1 as 0..65535."""
    depth: Shaped[Array, "S S"] | None
    """Depth of 16 bits, in steps of `DEPTH_UNIT`."""

    @property
    def bytes(self) -> int:
        """Size in memory."""
        return sum(array.nbytes for array in self if array is not None)


def load(files: Mapping[str, Path], size: int) -> FramePixels:
    """Decode the pictures of one frame and resize them.

    The image and the matte are interpolated; labels, normals and depth take the nearest pixel.

    Args:
        files: paths by kind, with `image` and `mask`.
        size: side of the result, pixels.

    Raises:
        InputError: a file is missing, damaged or not square, normals or depth are not of the
            image's size, or the mask is empty.
    """
    image = decode(files["image"], "image")
    check_square(files["image"], image)
    matte = decode(files["mask"], "mask")
    check_square(files["mask"], matte)
    person = _smooth(matte, size) > OPAQUE
    if not person.any():
        raise InputError(
            f"{files['mask']} is empty: no pixel is above {OPAQUE:.0f}; fix the mask or remove the "
            "frame"
        )
    others = (_beside(image, files, kind) for kind in ("semantic", "normal", "depth"))
    return FramePixels(
        _smooth(image, size),
        person,
        *(None if other is None else _nearest(other, size) for other in others),
    )


def _beside(
    image: Shaped[Array, "H W 3"], files: Mapping[str, Path], kind: str
) -> Shaped[Array, "_ _ ..."] | None:
    """The picture of a kind; None where the frame has none.

    Labels are square and of any size: the published face parser writes 512 x 512, whatever the
    image, and the published loader resizes each picture for itself. Others have the image's size.
    """
    if kind not in files:
        return None
    picture = decode(files[kind], kind)
    if kind == "semantic":
        check_square(files[kind], picture)
    else:
        check_same_size(files[kind], picture, image)
    return picture


def check_target(size: int) -> None:
    """Check the side to which frames are to be resized.

    Raises:
        UsageError: it is out of range.
    """
    if not TARGETS[0] <= size <= TARGETS[1]:
        raise UsageError(f"size must be between {TARGETS[0]} and {TARGETS[1]} pixels, got {size}")


def _smooth(picture: Shaped[Array, "H W ..."], size: int) -> Shaped[Array, "S S ..."]:
    if picture.shape[0] == size:
        return picture
    resized = cv2.resize(picture.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized)


def _nearest(picture: Shaped[Array, "H W ..."], size: int) -> Shaped[Array, "S S ..."]:
    if picture.shape[0] == size:
        return picture
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_NEAREST_EXACT))


def colours(pixels: FramePixels) -> Float32[Array, "S S 3"]:
    """RGB in 0..1, white outside the mask."""
    image = np.asarray(pixels.image, dtype=np.float32) / np.float32(255)
    return np.where(pixels.mask[..., None], image, np.float32(1))


def normals(pixels: FramePixels) -> Float32[Array, "S S 3"] | None:
    """Unit normals in model space, zero outside the mask; None where the frame has none."""
    if pixels.normal is None:
        return None
    direction = pixels.normal.astype(np.float32) * np.float32(2 / 65535) - np.float32(1)
    length = np.sqrt(np.einsum("...i,...i->...", direction, direction))
    return np.where(
        pixels.mask[..., None], direction / np.maximum(length, 1e-6)[..., None], np.float32(0)
    )


def depths(pixels: FramePixels) -> Float32[Array, "S S"] | None:
    """Depth in front of the camera, model units, 0 outside the mask; None without depth."""
    if pixels.depth is None:
        return None
    return np.where(
        pixels.mask, pixels.depth.astype(np.float32) * np.float32(DEPTH_UNIT), np.float32(0)
    )
