"""Inspection: what a check found and saw, video by video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imavatar_deploy.conventions import JAW
from imavatar_deploy.head_model import HeadModel

from .finding import ERROR, Finding
from .labels import LABELS
from .picture import READ, decode
from .sketch import Sketch
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
    def of(cls, video: Video, sketches: Sequence[Sketch]) -> VideoReport:
        """Gather it from a video and its readable frames."""
        pose, expression = video.track.pose, video.track.expression
        occurring = np.sum([sketch.labels for sketch in sketches], axis=0) if sketches else np.zeros(len(LABELS))
        return cls(
            video=video,
            name=video.name,
            frames=len(video),
            readable=len(sketches),
            side=str(len(decode(video.file("image", sketches[0].place), "image"))) if sketches else "?",
            kinds=tuple(kind for kind in READ if video.has(kind)),
            jaw=_range(np.degrees(np.linalg.norm(pose[:, JAW], axis=1)), "{:.0f}", "°"),
            rotation=_range(np.degrees(np.linalg.norm(pose[:, :3] + pose[:, 3:6], axis=1)), "{:.0f}", "°"),
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
