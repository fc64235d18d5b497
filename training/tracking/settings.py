"""TrackSettings: the settings of the tracking of videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imavatar_deploy.errors import InputError, UsageError

MIN_FRAMES = 12
"""Smallest number of frames with a usable face."""

SIZES = (64, 2048)
"""Smallest and largest side of the pictures, pixels."""

FILES = ("shape_from", "landmarks", "init", "matte", "parser", "masks", "labels")
"""Settings that are paths."""

SINGLE = ("landmarks", "init", "masks", "labels")
"""Settings that belong to one video."""


@dataclass(frozen=True)
class TrackSettings:
    """Settings of `track`; each is an option of `imavatar-data track`."""

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
    """Write `report.html` and `overlay.mp4`."""


def check_settings(videos: Sequence[Path], settings: TrackSettings) -> None:
    """Refuse impossible settings before the work begins.

    Raises:
        InputError: a file does not exist.
        UsageError: a setting is impossible, or belongs to one video and there are several.
    """
    if not videos:
        raise UsageError("there is no video to track: expected at least one file")
    for name in SINGLE:
        if len(videos) > 1 and getattr(settings, name) is not None:
            raise UsageError(
                f"--{name} belongs to one video, and {len(videos)} are to be tracked; track them "
                "one by one, with --shape-from for the second"
            )
    for name in FILES:
        path = getattr(settings, name)
        if path is not None and not Path(path).exists():
            option = name.replace("_", "-")
            raise InputError(f"there is no file or folder {str(path)!r}, given with --{option}")
    if not SIZES[0] <= settings.size <= SIZES[1]:
        raise UsageError(
            f"size must be between {SIZES[0]} and {SIZES[1]} pixels, got {settings.size}"
        )
    for name in ("fps", "focal"):
        value = getattr(settings, name)
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"{name} must be positive, got {value:g}")
    if settings.frames is not None and settings.frames < MIN_FRAMES:
        raise UsageError(f"frames must be at least {MIN_FRAMES}, got {settings.frames}")
