"""Tracking of videos: from the files to a dataset in the published layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imavatar_deploy.progress import Progress, Say, quiet, silent

from .result import TrackResult


@dataclass(frozen=True)
class TrackSettings:
    """Settings of `track`; the names are those of the options of `imavatar-data track`."""

    size: int = 512
    """Side of the pictures, pixels."""
    fps: float | None = None
    """Frames a second; None for those of the video, at most 25."""
    frames: int | None = None
    """Largest number of frames, evenly spread over the video; None for all."""
    focal: float | None = None
    """Focal length in pixels of the video's picture; None to read or assume it."""
    head_model: str | None = None
    """FLAME's file; None for OpenHead."""
    edition: str | None = None
    """Edition of a head model whose file does not name it."""
    shape_from: Path | None = None
    """Dataset or track whose shape is used unchanged."""
    landmarks: Path | None = None
    """File with the landmarks of every frame of the video."""
    init: Path | None = None
    """Track from which the fit starts."""
    matte: Path | None = None
    """ONNX graph that computes the mask of the person."""
    parser: Path | None = None
    """ONNX graph that computes the 19 labels."""
    masks: Path | None = None
    """Folder of ready masks of the video's frames."""
    labels: Path | None = None
    """Folder of ready labels of the video's frames."""
    overwrite: bool = False
    """Replace an earlier dataset."""
    report: bool = True
    """Write `report.html`."""


def track(
    videos: Sequence[str | Path],
    out: str | Path,
    settings: TrackSettings | None = None,
    *,
    progress: Progress = silent,
    say: Say = quiet,
) -> tuple[TrackResult, ...]:
    """Track videos of one person and write a dataset in the published layout.

    Work is kept in a hidden folder in `out`; the same call after an interruption continues there.

    Args:
        videos: video files of one person by one camera.
        out: folder to write. One video is written into it, several into a folder each.
        settings: the defaults when left out.
        progress: shows the progress.
        say: receives notes.

    Returns:
        The result of each video.

    Raises:
        InputError: a video cannot be read or shows no face.
        UsageError: a setting is impossible, or `out` cannot be written.
    """
    raise NotImplementedError
