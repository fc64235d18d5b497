"""Sentences about a validation whose avatar is deformed, or worse than it has been."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .lobes import Lobe
from .validation import FrameQuality, Validation

LOBE_SHARE = 0.005
"""Share of a frame's skin that a lobe has at least; less is a few pixels."""
DROPS = {"iou": ("mask IoU", 0.01, 4), "psnr": ("PSNR", 1.0, 1)}
"""Title, loss against the best so far that is too much, and digits shown. Sound runs waver by less
than 0.002 and 0.3 dB."""


def quality_warnings(validation: Validation, earlier: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong, where, and what to do; nothing while the avatar improves.

    Args:
        earlier: rows of `validation.jsonl`, the warm start's among them: `step`, `psnr` and `iou`.
    """
    sentences = [_fallen(name, validation, earlier) for name in DROPS]
    return [sentence for sentence in (_deformed(validation), *sentences) if sentence]


def _deformed(validation: Validation) -> str | None:
    lobes = [(frame.lobe.share, frame.lobe, frame) for frame in validation.frames if frame.lobe]
    _, lobe, frame = max(lobes, key=lambda row: row[0], default=(0.0, None, None))
    if lobe is None or frame is None or lobe.share < LOBE_SHARE:
        return None
    return (
        f"the head is deformed: {100.0 * lobe.share:.1f} % of the skin, labelled {lobe.label}, "
        f"stands {lobe.millimetres:.0f} mm in front of the head model, {_place(frame, lobe)}; if the "
        "tracked head fits the images there, train again with another --seed or with --preset small"
    )


def _fallen(name: str, validation: Validation, earlier: Sequence[Mapping[str, Any]]) -> str | None:
    title, drop, digits = DROPS[name]
    best = max(earlier, key=lambda row: row[name], default=None)
    now = validation.quality[name]
    if best is None or now >= best[name] - drop:
        return None
    worst = min(validation.frames, key=lambda frame: frame.quality[name])
    return (
        f"{title} has fallen to {now:.{digits}f} from {best[name]:.{digits}f} at step {best['step']}: "
        f"the avatar has lost its shape or colours; the largest error is {_place(worst, worst)}; train "
        "again with lower optimiser.learning_rate and optimiser.matrix_rate (--config)"
    )


def _place(frame: FrameQuality, middle: Lobe | FrameQuality) -> str:
    return f"around column {middle.column}, row {middle.row} of the render of frame {frame.name}"
