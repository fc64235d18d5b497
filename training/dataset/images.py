"""One picture file: decoded as its kind asks, or refused in a sentence."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError, UsageError

from .labels import LABELS

# PNG files are walked before they are decoded: what is cut short or damaged is said in words, not by a C library.


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


Picture = NDArray[Any]

READ = {
    "image": cv2.IMREAD_COLOR,
    "mask": cv2.IMREAD_GRAYSCALE,
    "semantic": cv2.IMREAD_GRAYSCALE,
    "normal": cv2.IMREAD_UNCHANGED,
    "depth": cv2.IMREAD_UNCHANGED,
}
"""How each kind of picture is decoded."""

DEEP = {"normal": 3, "depth": 2}
"""The kinds of 16 bits a channel, and how many dimensions their arrays have."""


def decode(path: Path, kind: str) -> Picture:
    """Read one picture as it is: RGB `[H, W, 3]` or one channel `[H, W]`.

    Raises:
        InputError: the file is absent, is no picture, or is not what its kind should be.
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
            f"{path} {fault}: every frame needs its {kind}; restore the file or drop the frame"
        ) from error
    broken = damage(data)
    picture = None if broken else cv2.imdecode(np.frombuffer(data, dtype=np.uint8), READ[kind])
    if picture is None:
        raise InputError(
            f"{path} is not a readable picture: {broken or 'nothing can decode it'}; write it again or drop the frame"
        )
    _check_kind(path, kind, picture)
    return np.ascontiguousarray(picture[..., ::-1]) if picture.ndim == 3 else picture


def _check_kind(path: Path, kind: str, picture: Picture) -> None:
    if kind in DEEP and (picture.dtype != np.uint16 or picture.ndim != DEEP[kind]):
        channels = 1 if DEEP[kind] == 2 else 3
        raise InputError(
            f"{path} must have {channels} channel{'s' if channels > 1 else ''} of 16 bits, "
            f"got shape {list(picture.shape)} of {picture.dtype}"
        )
    if kind == "semantic" and picture.max(initial=0) >= len(LABELS):
        raise InputError(
            f"{path} must hold label ids 0..{len(LABELS) - 1}, got {picture.max()}; is it the coloured picture?"
        )


def check_square(path: Path, picture: Picture) -> None:
    """Refuse pictures that are not square: the published renderer scales both axes by one number."""
    height, width = picture.shape[:2]
    if height != width:
        raise InputError(
            f"{path} must be square, got {width} x {height} pixels; crop it and adapt the intrinsics"
        )


def check_same_size(path: Path, picture: Picture, image: Picture) -> None:
    """Refuse a picture that does not cover the image pixel by pixel."""
    if picture.shape[:2] != image.shape[:2]:
        sizes = [f"{shape[1]} x {shape[0]}" for shape in (picture.shape, image.shape)]
        raise InputError(
            f"{path} must have the size of its image, got {sizes[0]} pixels beside {sizes[1]}"
        )


# Pixels: the pictures of one frame, decoded, checked against each other and brought to one size.


Float = NDArray[np.float32]

OPAQUE = 127.5
"""A matte above this is the person (published)."""

DEPTH_UNIT = 1.0 / 8192.0
"""Model units a step of a depth picture."""

TARGETS = (8, 4096)
"""Smallest and largest side in pixels that frames may be resized to."""


class FramePixels(NamedTuple):
    """What a frame's files hold, in the smallest type that keeps it: this is what is cached."""

    image: Picture  # [S, S, 3] RGB in 0..255, uint8, or float32 where it was resized
    mask: NDArray[np.bool_]  # [S, S]
    semantic: NDArray[np.uint8] | None  # [S, S]
    normal: NDArray[np.uint16] | None  # [S, S, 3]
    depth: NDArray[np.uint16] | None  # [S, S]

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        return sum(array.nbytes for array in self if array is not None)


def load(files: Mapping[str, Path], size: int) -> FramePixels:
    """Decode the pictures of one frame and resize them to `size`: colours and matte smoothly, the rest by nearest.

    Args:
        files: by kind; `image` and `mask` must be among them.

    Raises:
        InputError: a file is missing, damaged, not square, or of another size than the image, or the mask is empty.
    """
    image = decode(files["image"], "image")
    check_square(files["image"], image)
    matte = decode(files["mask"], "mask")
    check_same_size(files["mask"], matte, image)
    person = _smooth(matte, size) > OPAQUE
    if not person.any():
        raise InputError(
            f"{files['mask']} is empty: no pixel is above {OPAQUE:.0f}; mend the mask or drop the frame"
        )
    others = (_beside(image, files, kind) for kind in ("semantic", "normal", "depth"))
    return FramePixels(
        _smooth(image, size),
        person,
        *(None if other is None else _nearest(other, size) for other in others),
    )


def _beside(image: Picture, files: Mapping[str, Path], kind: str) -> Picture | None:
    """The picture of a kind, which must cover the image pixel by pixel; None where there is no such kind."""
    if kind not in files:
        return None
    picture = decode(files[kind], kind)
    check_same_size(files[kind], picture, image)
    return picture


def check_target(size: int) -> None:
    """Refuse a side that frames cannot sensibly be resized to."""
    if not TARGETS[0] <= size <= TARGETS[1]:
        raise UsageError(f"size must be between {TARGETS[0]} and {TARGETS[1]} pixels, got {size}")


def _smooth(picture: Picture, size: int) -> Picture:
    if picture.shape[0] == size:
        return picture
    resized: Picture = cv2.resize(
        picture.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR
    )
    return resized


def _nearest(picture: Picture, size: int) -> Picture:
    if picture.shape[0] == size:
        return picture
    resized: Picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
    return resized


def colours(pixels: FramePixels) -> Float:
    """[S, S, 3] in 0..1, white outside the mask."""
    image = np.asarray(pixels.image, dtype=np.float32) / np.float32(255)
    return np.where(pixels.mask[..., None], image, np.float32(1))


def normals(pixels: FramePixels) -> Float | None:
    """[S, S, 3] unit vectors, zero outside the mask."""
    if pixels.normal is None:
        return None
    direction = pixels.normal.astype(np.float32) * np.float32(2 / 65535) - np.float32(1)
    length = np.sqrt(np.einsum("...i,...i->...", direction, direction))
    return np.where(
        pixels.mask[..., None], direction / np.maximum(length, 1e-6)[..., None], np.float32(0)
    )


def depths(pixels: FramePixels) -> Float | None:
    """[S, S] model units in front of the camera, 0 outside the mask."""
    if pixels.depth is None:
        return None
    return np.where(
        pixels.mask, pixels.depth.astype(np.float32) * np.float32(DEPTH_UNIT), np.float32(0)
    )
