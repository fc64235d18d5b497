"""Report of a dataset check: findings, a description of each video, and a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.conventions import JAW, UNITS_PER_METRE
from imavatar_deploy.dataset import images
from imavatar_deploy.dataset.images import DECODE_FLAGS, decode
from imavatar_deploy.dataset.labels import LABELS
from imavatar_deploy.dataset.video import Video
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

from .findings import ERROR, Finding
from .frame_summary import FrameSummary

COLUMNS = 6
"""Tiles in a row of the contact sheet."""

TILES = 24
"""Largest number of tiles of the contact sheet."""

SIDE = 256
"""Side of a tile, pixels."""

OUTLINE = (230, 40, 90)
"""Colour of the outline of the posed head."""

LANDMARK = (20, 120, 255)
"""Colour of the landmarks."""

INK = (60, 60, 60)
"""Colour of the captions."""

GREY = 200
"""Grey of the tile of a frame that cannot be read."""


@dataclass(frozen=True)
class VideoReport:
    """Description of one video; ranges are texts for a table."""

    video: Video
    name: str
    frames: int
    """Number of frames in the track."""
    readable: int
    """Number of frames whose pictures can be read."""
    side: str
    """Side of the first picture, pixels."""
    kinds: tuple[str, ...]
    """Kinds of pictures that the video has."""
    jaw: str
    """Range of the opening of the jaw, degrees."""
    rotation: str
    """Range of the rotation of the head, degrees."""
    expression: str
    """Range of the expression coefficients."""
    labels: tuple[str, ...]
    """Names of the labels that occur."""

    @classmethod
    def of(cls, video: Video, summaries: Sequence[FrameSummary]) -> VideoReport:
        """Describe a video, given the summaries of its readable frames."""
        pose = video.track.pose
        labels = np.sum([summary.labels for summary in summaries], axis=0) if summaries else []
        side = "?"
        if summaries:
            side = str(len(decode(video.file("image", summaries[0].frame), "image")))
        return cls(
            video=video,
            name=video.name,
            frames=len(video),
            readable=len(summaries),
            side=side,
            kinds=tuple(kind for kind in DECODE_FLAGS if video.has(kind)),
            jaw=_range(np.degrees(np.linalg.norm(pose[:, JAW], axis=1)), "{:.0f}", "°"),
            rotation=_range(
                np.degrees(np.linalg.norm(pose[:, :3] + pose[:, 3:6], axis=1)), "{:.0f}", "°"
            ),
            expression=_range(video.track.expression, "{:.1f}", ""),
            labels=tuple(LABELS[index] for index in np.flatnonzero(labels)),
        )


@dataclass(frozen=True)
class Inspection:
    """Result of a check of a dataset."""

    findings: list[Finding]
    videos: list[VideoReport]
    head: HeadModel | None = None
    """Head model of the subject, where it is known."""

    @property
    def errors(self) -> list[Finding]:
        """The findings that prevent or spoil training."""
        return [finding for finding in self.findings if finding.severity == ERROR]


def _range(values: Float32[Array, "..."], form: str, unit: str) -> str:
    return f"{form.format(values.min())} .. {form.format(values.max())}{unit}"


# Contact sheet


def preview(videos: Sequence[Video], head: HeadModel | None, out: Path) -> None:
    """Write a contact sheet of at most TILES frames, evenly spaced over all videos, as a PNG.

    The outline of the posed head and the landmarks are drawn over each frame.

    Args:
        videos: readable videos.
        head: head model of the subject; no outline is drawn without it.
        out: path of the PNG.

    Raises:
        UsageError: `out` is not a .png or cannot be written, or there is no frame.
    """
    if out.suffix.lower() != ".png":
        raise UsageError(f"a preview is a .png, got {out.name!r}")
    frames = [(video, frame) for video in videos for frame in range(len(video))]
    if not frames:
        raise UsageError("there is no frame to preview: no video could be read")
    indices = np.linspace(0, len(frames) - 1, min(TILES, len(frames))).round().astype(int)
    with Workers(1) as workers:
        rasteriser = Rasteriser(head.faces, SIDE, SIDE, workers) if head else None
        tiles = [
            _tile(video, frame, head, rasteriser)
            for video, frame in (frames[index] for index in indices)
        ]
    with atomic_file(out) as partial:
        if not cv2.imwrite(str(partial), _sheet(tiles)[..., ::-1]):
            raise UsageError(f"{out} cannot be written; is the disk full?")


def _sheet(tiles: Sequence[UInt8[Array, "S S 3"]]) -> UInt8[Array, "_ _ 3"]:
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * SIDE, columns * SIDE, 3), 255, dtype=np.uint8)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        top = row * SIDE
        left = column * SIDE
        sheet[top : top + SIDE, left : left + SIDE] = tile
    return sheet


def _tile(
    video: Video, frame: int, head: HeadModel | None, rasteriser: Rasteriser | None
) -> UInt8[Array, "S S 3"]:
    try:
        pixels = images.load({kind: video.file(kind, frame) for kind in ("image", "mask")}, SIDE)
        tile = (255 * images.colours(pixels)).round().astype(np.uint8)
    except InputError:
        tile = np.full((SIDE, SIDE, 3), GREY, dtype=np.uint8)
    if head is not None and rasteriser is not None:
        _draw_outline(tile, video, frame, head, rasteriser)
    keypoints = video.keypoints[frame]
    if keypoints is not None:
        points = ((keypoints + 1) * (SIDE / 2)).round().clip(-9, SIDE + 9).astype(int)
        for column, row in points:
            cv2.circle(tile, (int(column), int(row)), 1, LANDMARK, -1)
    caption = f"{video.name} {video.track.names[frame]}"
    cv2.putText(tile, caption, (6, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1)
    return tile


def _draw_outline(
    tile: UInt8[Array, "S S 3"],
    video: Video,
    index: int,
    head: HeadModel,
    rasteriser: Rasteriser,
) -> None:
    frame = video.track.frame(index)
    assert frame.camera is not None
    vertices = UNITS_PER_METRE * head.vertices(frame.expression, frame.pose)
    mask = rasteriser.draw(vertices, frame.camera.image_matrix(SIDE, SIDE)).triangle >= 0
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(tile, contours, -1, OUTLINE, 1)
