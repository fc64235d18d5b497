"""Inspection: what a check found and saw, video by video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.conventions import JAW, UNITS_PER_METRE
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

from . import images
from .findings import ERROR, Finding
from .frame_summary import FrameSummary
from .images import READ, decode
from .labels import LABELS
from .video import Video


@dataclass(frozen=True)
class VideoReport:
    """One video in words."""

    video: Video
    name: str
    frames: int
    readable: int
    side: str
    """Of the first picture, pixels."""
    kinds: tuple[str, ...]
    jaw: str
    rotation: str
    expression: str
    labels: tuple[str, ...]

    @classmethod
    def of(cls, video: Video, sketches: Sequence[FrameSummary]) -> VideoReport:
        """Gather it from a video and its readable frames."""
        pose, expression = video.track.pose, video.track.expression
        occurring = (
            np.sum([sketch.labels for sketch in sketches], axis=0)
            if sketches
            else np.zeros(len(LABELS))
        )
        return cls(
            video=video,
            name=video.name,
            frames=len(video),
            readable=len(sketches),
            side=str(len(decode(video.file("image", sketches[0].place), "image")))
            if sketches
            else "?",
            kinds=tuple(kind for kind in READ if video.has(kind)),
            jaw=_range(np.degrees(np.linalg.norm(pose[:, JAW], axis=1)), "{:.0f}", "°"),
            rotation=_range(
                np.degrees(np.linalg.norm(pose[:, :3] + pose[:, 3:6], axis=1)), "{:.0f}", "°"
            ),
            expression=_range(expression, "{:.1f}", ""),
            labels=tuple(LABELS[index] for index in np.flatnonzero(occurring)),
        )


@dataclass(frozen=True)
class Inspection:
    """The outcome of a check."""

    findings: list[Finding]
    videos: list[VideoReport]
    head: HeadModel | None = None
    """Of the subject, where it is known."""

    @property
    def errors(self) -> list[Finding]:
        """The findings that spoil a training."""
        return [finding for finding in self.findings if finding.severity == ERROR]


def _range(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]], form: str, unit: str) -> str:
    return f"{form.format(values.min())} .. {form.format(values.max())}{unit}"


# preview: a contact sheet of a dataset, with the outline of the posed head and the landmarks drawn over each frame.


Bytes = NDArray[np.uint8]

COLUMNS = 6

TILES = 24

SIDE = 256

OUTLINE = (230, 40, 90)

LANDMARK = (20, 120, 255)

INK = (60, 60, 60)

GREY = 200
"""Of the tile of a frame that cannot be read."""


def preview(videos: Sequence[Video], head: HeadModel | None, out: Path) -> None:
    """Write a PNG of at most TILES frames, evenly spaced over all videos.

    Args:
        head: of the subject; no outline is drawn without it.

    Raises:
        UsageError: `out` cannot be written, or there is no frame.
    """
    if out.suffix.lower() != ".png":
        raise UsageError(f"a preview is a .png, got {out.name!r}")
    places = [(video, place) for video in videos for place in range(len(video))]
    if not places:
        raise UsageError("there is no frame to preview: no video could be read")
    chosen = np.linspace(0, len(places) - 1, min(TILES, len(places))).round().astype(int)
    with Workers(1) as workers:
        outline = Rasteriser(head.faces, SIDE, SIDE, workers) if head else None
        tiles = [
            _tile(video, place, head, outline)
            for video, place in (places[index] for index in chosen)
        ]
    with atomic_file(out) as partial:
        if not cv2.imwrite(str(partial), _sheet(tiles)[..., ::-1]):
            raise UsageError(f"{out} cannot be written; is the disk full?")


def _sheet(tiles: Sequence[Bytes]) -> Bytes:
    columns = min(COLUMNS, len(tiles))
    sheet = np.full((-(-len(tiles) // columns) * SIDE, columns * SIDE, 3), 255, dtype=np.uint8)
    for place, tile in enumerate(tiles):
        top, left = place // columns * SIDE, place % columns * SIDE
        sheet[top : top + SIDE, left : left + SIDE] = tile
    return sheet


def _tile(video: Video, place: int, head: HeadModel | None, outline: Rasteriser | None) -> Bytes:
    try:
        loaded = images.load({kind: video.file(kind, place) for kind in ("image", "mask")}, SIDE)
        tile = (255 * images.colours(loaded)).round().astype(np.uint8)
    except InputError:
        tile = np.full((SIDE, SIDE, 3), GREY, dtype=np.uint8)
    if head is not None and outline is not None:
        _draw_outline(tile, video, place, head, outline)
    points = video.keypoints[place]
    for column, row in (
        () if points is None else ((points + 1) * (SIDE / 2)).round().clip(-9, SIDE + 9).astype(int)
    ):
        cv2.circle(tile, (int(column), int(row)), 1, LANDMARK, -1)
    cv2.putText(
        tile,
        f"{video.name} {video.track.names[place]}",
        (6, 14),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.4,
        INK,
        1,
    )
    return tile


def _draw_outline(
    tile: Bytes, video: Video, place: int, head: HeadModel, rasteriser: Rasteriser
) -> None:
    frame = video.track.frame(place)
    assert frame.camera is not None
    vertices = UNITS_PER_METRE * head.vertices(frame.expression, frame.pose)
    drawn = rasteriser.draw(vertices, frame.camera.image_matrix(SIDE, SIDE)).triangle >= 0
    contours, _ = cv2.findContours(drawn.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(tile, contours, -1, OUTLINE, 1)
