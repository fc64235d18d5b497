"""One picture file: decoded as its kind asks, or refused in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError

from .labels import LABELS
from .png import damage

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
        fault = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise InputError(f"{path} {fault}: every frame needs its {kind}; restore the file or drop the frame") from error
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
        raise InputError(f"{path} must be square, got {width} x {height} pixels; crop it and adapt the intrinsics")


def check_same_size(path: Path, picture: Picture, image: Picture) -> None:
    """Refuse a picture that does not cover the image pixel by pixel."""
    if picture.shape[:2] != image.shape[:2]:
        sizes = [f"{shape[1]} x {shape[0]}" for shape in (picture.shape, image.shape)]
        raise InputError(f"{path} must have the size of its image, got {sizes[0]} pixels beside {sizes[1]}")
