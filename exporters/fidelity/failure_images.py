"""Pictures of the frames that a stage fails on: reference, export and difference, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.fidelity.image_metrics import normal_angle
from imavatar_deploy.fidelity.stage_metrics import FrameImages

Float = NDArray[np.float32]
Byte = NDArray[np.uint8]

FOLDER = "failures"
SHEET = f"{FOLDER}/sheet.png"
"""All of them in one picture, the worst frame of each stage first."""

AMPLIFICATION = 8.0
"""A difference is shown this many times as large: 1/32 of the range becomes a quarter."""

WHITE_ANGLE = 20.0
"""Degrees between two normals that are shown in white."""

MISSING, ADDED = (1.0, 0.1, 0.1), (0.25, 0.45, 1.0)
"""Colours of the pixels that only the reference, or only the export, shows."""

OUTLINES = "red: only reference, blue: only export"

HEADER, CAPTION, GAP = 52, 40, 6
"""Pixels above a frame, above each of its panels, and around them."""


@dataclass(frozen=True)
class Failure:
    """One frame of a stage that misses its limits, in pictures of a size to look at."""

    stage: str
    frame: str
    """What the frame shows."""
    message: str
    """What was measured in it."""
    start: str
    """What drew the reference."""
    end: str
    """What drew the export."""
    reference: FrameImages
    export: FrameImages
    normals: bool
    """Whether the normals differ too much, and are shown in a second row."""


def write_failures(folder: Path, failures: Sequence[Failure]) -> None:
    """Write `STAGE_1.png`, the worst frame, `STAGE_2.png` and so on, and the sheet of all."""
    (folder / FOLDER).mkdir(exist_ok=True)
    tiles, number = [], dict.fromkeys((failure.stage for failure in failures), 0)
    for failure in failures:
        number[failure.stage] += 1
        tiles.append(_tile(failure, number[failure.stage]))
        _write(folder / FOLDER / f"{failure.stage}_{number[failure.stage]}.png", tiles[-1])
    _write(folder / SHEET, np.concatenate(tiles))


def _tile(failure: Failure, number: int) -> Byte:
    """One failure, all its panels under a heading."""
    reference, export = failure.reference, failure.export
    panels = [
        _panel(reference.rgb, f"reference: {failure.start}"),
        _panel(export.rgb, f"export: {failure.end}"),
        _panel(_difference(reference, export), f"difference x {AMPLIFICATION:g}", OUTLINES),
    ]
    rows = [np.concatenate(panels, axis=1)]
    if failure.normals:
        panels = [
            _panel(_coloured(reference), "normals of the reference"),
            _panel(_coloured(export), "normals of the export"),
            _panel(_angles(reference, export), f"angle, white: {WHITE_ANGLE:g} deg", OUTLINES),
        ]
        rows.append(np.concatenate(panels, axis=1))
    heading = np.full((HEADER, rows[0].shape[1], 3), 255, dtype=np.uint8)
    _print(heading, f"stage {failure.stage}, worst frame {number}: {failure.frame}", 20, size=0.55)
    _print(heading, failure.message, 42)
    return np.concatenate([heading, *rows])


def _panel(image: Float, caption: str, second: str = "") -> Byte:
    """An image in 0..1 under its caption, with a margin."""
    pixels = np.rint(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)
    head = np.full((CAPTION, pixels.shape[1], 3), 255, dtype=np.uint8)
    _print(head, caption, 16)
    _print(head, second, 33, size=0.36)
    framed = np.concatenate([head, pixels])
    return np.pad(framed, ((0, GAP), (GAP, GAP), (0, 0)), constant_values=255)


def _difference(reference: FrameImages, export: FrameImages) -> Float:
    """[N, N, 3] of colours, where both show the avatar."""
    return _within_outlines(AMPLIFICATION * np.abs(export.rgb - reference.rgb), reference, export)


def _angles(reference: FrameImages, export: FrameImages) -> Float:
    """[N, N, 3] angles between normals as grey values."""
    both, image = reference.mask & export.mask, np.zeros_like(reference.rgb)
    angle = normal_angle(reference.normal, export.normal, both) / WHITE_ANGLE
    image[both] = angle[:, None].astype(np.float32)
    return _within_outlines(image, reference, export)


def _within_outlines(image: Float, reference: FrameImages, export: FrameImages) -> Float:
    """An image, black outside of both masks and in `MISSING` or `ADDED` outside of one."""
    shown = np.where((reference.mask & export.mask)[..., None], image, 0.0).astype(np.float32)
    shown[reference.mask & ~export.mask] = MISSING
    shown[export.mask & ~reference.mask] = ADDED
    return shown


def _coloured(picture: FrameImages) -> Float:
    """[N, N, 3] normals as colours on white."""
    colours = np.where(picture.mask[..., None], 0.5 + 0.5 * picture.normal, 1.0)
    return np.asarray(colours, dtype=np.float32)


def _print(image: Byte, text: str, row: int, *, size: float = 0.42) -> None:
    """Print ASCII text into an image."""
    plain = text.replace("°", " deg").encode("ascii", "replace").decode()
    cv2.putText(image, plain, (GAP, row), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 1, cv2.LINE_AA)


def _write(path: Path, image: Byte) -> None:
    path.write_bytes(cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1].tobytes())
