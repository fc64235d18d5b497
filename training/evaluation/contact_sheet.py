"""Contact sheets: truth, prediction, error and normals of frames side by side, with captions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, UInt8
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.marking import marked_png

from .metric import Case, Image, Mask

Bytes = UInt8[Array, "_ _ 3"]
"""RGB picture of any size."""

ERROR_GAIN = 4.0
"""Factor of the absolute differences in the column of errors; a difference of 0.01 matters and is
invisible without it."""

MIN_TILE = 192
"""Smallest side of a tile, pixels; smaller images are enlarged by a whole factor."""

GAP = 4
"""Space between tiles, pixels."""

HEADER = 22
"""Height of a caption, pixels."""

INK = (40, 40, 40)
"""Colour of the captions."""


def strip(case: Case) -> Bytes:
    """Truth, prediction, amplified error and any normals of a frame, side by side with captions."""
    error = np.clip(ERROR_GAIN * np.abs(case.prediction - case.truth), 0.0, 1.0)
    tiles = {"truth": case.truth, "prediction": case.prediction, f"error x {ERROR_GAIN:.0f}": error}
    if case.truth_normal is not None:
        tiles["true normals"] = normal_picture(case.truth_normal, case.truth_mask)
    if case.prediction_normal is not None and case.prediction_mask is not None:
        tiles["normals"] = normal_picture(case.prediction_normal, case.prediction_mask)
    return row(list(tiles.values()), list(tiles))


def split_strip(picture: Bytes) -> list[Image]:
    """The square tiles of a `strip` without their captions, values 0..1."""
    side = len(picture) - HEADER
    return [
        picture[HEADER:, left : left + side].astype(np.float32) / 255.0
        for left in range(0, picture.shape[1], side + GAP)
    ]


def normal_picture(normal: Image, mask: Mask) -> Image:
    """Normals as colours, (n + 1) / 2, over white."""
    length = np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-12)
    return np.where(mask[..., None], 0.5 * normal / length + 0.5, 1.0).astype(np.float32)


def row(images: Sequence[Image], captions: Sequence[str]) -> Bytes:
    """Images of one size, values 0..1, side by side below their captions."""
    tiles = [_tile(image, caption) for image, caption in zip(images, captions, strict=True)]
    gap = np.full((len(tiles[0]), GAP, 3), 255, dtype=np.uint8)
    return np.concatenate([part for tile in tiles for part in (tile, gap)][:-1], axis=1)


def stack(rows: Sequence[Bytes], captions: Sequence[str]) -> Bytes:
    """Pictures of any width, one below the other, each below its caption."""
    width = max(picture.shape[1] for picture in rows)
    parts = []
    for picture, caption in zip(rows, captions, strict=True):
        padding = ((0, GAP), (0, width - picture.shape[1]), (0, 0))
        parts += [_header(caption, width), np.pad(picture, padding, constant_values=255)]
    return np.concatenate(parts)


def write_picture(path: Path, picture: Bytes) -> None:
    """Write an RGB picture as a PNG with the mark of synthetic media: it shows an avatar.

    Raises:
        UsageError: the file cannot be written.
    """
    _, png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    try:
        path.write_bytes(marked_png(png.tobytes()))
    except OSError as error:
        raise UsageError(
            f"{path.name} cannot be written to {path.parent.parent} ({error.strerror}); is the "
            "disk full?"
        ) from error


def read_picture(path: Path) -> Bytes:
    """Read an RGB picture that `write_picture` wrote.

    Raises:
        InputError: the file is missing or damaged.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"{path} is not a readable picture")
    return np.ascontiguousarray(picture[..., ::-1], dtype=np.uint8)


def _tile(image: Image, caption: str) -> Bytes:
    factor = max(1, -(-MIN_TILE // max(image.shape[:2])))
    pixels = np.round(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)
    pixels = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    return np.concatenate([_header(caption, pixels.shape[1]), pixels])


def _header(caption: str, width: int) -> Bytes:
    header = np.full((HEADER, width, 3), 255, dtype=np.uint8)
    cv2.putText(
        header, caption, (3, HEADER - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA
    )
    return header
