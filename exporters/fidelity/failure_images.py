"""Failure images: reference, export and difference of frames in which a stage misses a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.fidelity.image_metrics import normal_angle
from imavatar_deploy.fidelity.stage_metrics import FrameImages
from imavatar_deploy.marking import marked_png

FOLDER = "failures"
SHEET = f"{FOLDER}/sheet.png"
"""All failure images in one, the worst frame of each stage first."""

AMPLIFICATION = 8.0
"""Factor of the differences: 1/32 of the range becomes a quarter."""

WHITE_ANGLE = 20.0
"""Degrees between two normals that appear white."""

MISSING_COLOUR = (1.0, 0.1, 0.1)
"""Colour of pixels that only the reference shows."""

ADDED_COLOUR = (0.25, 0.45, 1.0)
"""Colour of pixels that only the export shows."""

OUTLINES = "red: only reference, blue: only export"

HEADER = 52
"""Pixels of the heading above a frame."""

CAPTION = 40
"""Pixels of the caption above a panel."""

GAP = 6
"""Pixels around a panel."""


@dataclass(frozen=True)
class Failure:
    """One frame of a stage that misses its limits."""

    stage: str
    frame: str
    """Description of the frame."""
    message: str
    """Measurements of the frame."""
    start: str
    """Stage that rendered the reference."""
    end: str
    """Stage that rendered the export."""
    reference: FrameImages
    export: FrameImages
    normals: bool
    """Whether the normals miss a limit; they then appear in a second row."""


def write_failures(folder: Path, failures: Sequence[Failure]) -> None:
    """Write `STAGE_1.png` (the worst frame), `STAGE_2.png` and so on, and the sheet of all."""
    (folder / FOLDER).mkdir(exist_ok=True)
    tiles = []
    number = dict.fromkeys((failure.stage for failure in failures), 0)
    for failure in failures:
        number[failure.stage] += 1
        tiles.append(_tile(failure, number[failure.stage]))
        _write(folder / FOLDER / f"{failure.stage}_{number[failure.stage]}.png", tiles[-1])
    _write(folder / SHEET, np.concatenate(tiles))


def _tile(failure: Failure, number: int) -> UInt8[Array, "H W 3"]:
    """The panels of one failure under a heading."""
    reference, export = failure.reference, failure.export
    panels = [
        _panel(reference.rgb, f"reference: {failure.start}"),
        _panel(export.rgb, f"export: {failure.end}"),
        _panel(difference(reference, export), f"difference x {AMPLIFICATION:g}", OUTLINES),
    ]
    rows = [np.concatenate(panels, axis=1)]
    if failure.normals:
        panels = [
            _panel(_normal_colours(reference), "normals of the reference"),
            _panel(_normal_colours(export), "normals of the export"),
            _panel(_angles(reference, export), f"angle, white: {WHITE_ANGLE:g} deg", OUTLINES),
        ]
        rows.append(np.concatenate(panels, axis=1))
    heading = np.full((HEADER, rows[0].shape[1], 3), 255, dtype=np.uint8)
    _print(heading, f"stage {failure.stage}, worst frame {number}: {failure.frame}", 20, size=0.55)
    _print(heading, failure.message, 42)
    return np.concatenate([heading, *rows])


def _panel(
    image: Float32[Array, "H W 3"], caption: str, second_line: str = ""
) -> UInt8[Array, "_ _ 3"]:
    """An image in 0..1 under its caption, with a margin."""
    pixels = np.rint(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)
    head = np.full((CAPTION, pixels.shape[1], 3), 255, dtype=np.uint8)
    _print(head, caption, 16)
    _print(head, second_line, 33, size=0.36)
    framed = np.concatenate([head, pixels])
    return np.pad(framed, ((0, GAP), (GAP, GAP), (0, 0)), constant_values=255)


def difference(reference: FrameImages, export: FrameImages) -> Float32[Array, "H W 3"]:
    """Amplified difference of the colours, where both images show the avatar."""
    return _within_outlines(AMPLIFICATION * np.abs(export.rgb - reference.rgb), reference, export)


def _angles(reference: FrameImages, export: FrameImages) -> Float32[Array, "H W 3"]:
    """Angles between the normals as grey values."""
    both = reference.mask & export.mask
    image = np.zeros_like(reference.rgb)
    angle = normal_angle(reference.normal, export.normal, both) / WHITE_ANGLE
    image[both] = angle[:, None].astype(np.float32)
    return _within_outlines(image, reference, export)


def _within_outlines(
    image: Float32[Array, "H W 3"], reference: FrameImages, export: FrameImages
) -> Float32[Array, "H W 3"]:
    """Mask an image: black outside both masks, `MISSING_COLOUR` or `ADDED_COLOUR` outside one."""
    pixels = np.where((reference.mask & export.mask)[..., None], image, 0.0).astype(np.float32)
    pixels[reference.mask & ~export.mask] = MISSING_COLOUR
    pixels[export.mask & ~reference.mask] = ADDED_COLOUR
    return pixels


def _normal_colours(images: FrameImages) -> Float32[Array, "H W 3"]:
    """Normals as colours, on white."""
    colours = np.where(images.mask[..., None], 0.5 + 0.5 * images.normal, 1.0)
    return np.asarray(colours, dtype=np.float32)


def _print(image: UInt8[Array, "H W 3"], text: str, row: int, *, size: float = 0.42) -> None:
    """Print text into an image, reduced to ASCII."""
    plain = text.replace("°", " deg").encode("ascii", "replace").decode()
    cv2.putText(image, plain, (GAP, row), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 1, cv2.LINE_AA)


def _write(path: Path, image: UInt8[Array, "H W 3"]) -> None:
    _, png = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
    path.write_bytes(marked_png(png.tobytes()))
