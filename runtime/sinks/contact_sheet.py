"""`*.png` without a number: a contact sheet of frames of the whole run, first to last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.progress import human_bytes

from .images import write_png
from .sink import Image, Sink, SinkFormat, Stream, existing_file, require_images

TILE_COLUMNS = 6
"""Tiles in a row."""

TILE_COUNT = 24
"""Largest number of tiles."""

TILE_SIDE = 256
"""Pixels of a tile's longer side."""


class Sampler:
    """Keeps at most 2 `TILE_COUNT` evenly spaced frames of a run of unknown length."""

    def __init__(self) -> None:
        self.count = 0
        """Number of images so far."""
        self._step = 1
        self._tiles: list[Image] = []

    def add(self, image: Image) -> None:
        """Keep every `step`-th frame; drop every second of them once they are too many."""
        if self.count % self._step == 0:
            self._tiles.append(_tile(image))
        if len(self._tiles) > 2 * TILE_COUNT:
            self._tiles = self._tiles[::2]
            self._step *= 2
        self.count += 1

    def sheet(self) -> Image:
        """At most `TILE_COUNT` frames in rows of `TILE_COLUMNS`; empty places are transparent."""
        chosen = (
            np.linspace(0, len(self._tiles) - 1, min(TILE_COUNT, len(self._tiles)))
            .round()
            .astype(int)
        )
        height, width = self._tiles[0].shape[:2]
        columns = min(TILE_COLUMNS, len(chosen))
        sheet = np.zeros((-(-len(chosen) // columns) * height, columns * width, 4), dtype=np.uint8)
        for place, index in enumerate(chosen):
            row, column = divmod(place, columns)
            top = row * height
            left = column * width
            sheet[top : top + height, left : left + width] = self._tiles[index]
        return sheet


def _tile(image: Image) -> Image:
    """A frame scaled to fit into `TILE_SIDE`; averages weigh colours by their alpha."""
    scale = min(1.0, TILE_SIDE / max(image.shape[:2]))
    size = [max(1, round(scale * side)) for side in image.shape[1::-1]]
    weighted = image.astype(np.float32)
    weighted[..., :3] = weighted[..., :3] * weighted[..., 3:] / 255
    small = cv2.resize(weighted, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    small[..., :3] *= 255 / np.maximum(small[..., 3:], 1e-3)
    return small.round().clip(0, 255).astype(np.uint8)


@contextmanager
def _open(target: str, stream: Stream) -> Iterator[Sink]:
    sampler = Sampler()
    with atomic_file(target) as partial:
        yield Sink(
            sampler.add,
            report=lambda: f"wrote {target} ({human_bytes(Path(target).stat().st_size)})",
        )
        require_images(sampler.count, target)
        write_png(partial, sampler.sheet(), synthetic_mark=stream.synthetic_mark)
        stream.finish(partial)


def _matches(target: str) -> bool:
    path = Path(target)
    return path.suffix.lower() == ".png" and "%" not in path.name


FORMAT = SinkFormat(
    name="contact_sheet",
    pattern="sheet.png",
    description=f"{TILE_COUNT} frames of the run side by side",
    matches=_matches,
    open=_open,
    existing=existing_file,
)
