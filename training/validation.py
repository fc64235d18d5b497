"""Validation: a few frames rendered as the run has them by now, beside ground truth, with their quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils import parametrize

from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.fidelity.image_metrics import iou, l1, psnr
from imavatar_deploy.model.head_avatar import HeadAvatarModel
from imavatar_deploy.model.render import render
from imavatar_deploy.model.tracing import Tracer

from .dataset import FaceDataset
from .dataset.labels import LABELS
from .frame_parameters import FrameParameters
from .semantics import NOWHERE, SKIN, head_depth, nearest_around

# Lobes: pieces of surface that stand in front of the head model where the labels say skin.


Float = NDArray[np.floating[Any]]

GAP = 0.1
"""Distance in front of the head model (model units, 25 mm) that no skin has."""


class Lobe(NamedTuple):
    """The largest connected lobe of an image."""

    share: float
    """Of the skin's pixels."""
    millimetres: float
    """In front of the head model, in the median over its pixels."""
    column: int
    row: int
    """Its middle."""
    label: str
    """What the labels call most of it."""


def largest_lobe(
    depth: Float,
    mask: NDArray[np.bool_],
    head: Float,
    semantic: NDArray[np.uint8],
) -> Lobe | None:
    """The largest connected piece of skin that is nearer than the head model by more than `GAP`.

    Args:
        depth: `[S, S]` of the render, model units.
        mask: `[S, S]` where the render shows the avatar.
        head: `[S, S]` of the head model (see `head_depth`).
        semantic: `[S, S]` label ids.
    """
    nearest, skin = nearest_around(head), np.isin(semantic, SKIN)
    ahead = nearest - depth
    candidates = skin & (nearest < NOWHERE) & mask & (ahead > GAP)
    count, pieces, facts, middles = cv2.connectedComponentsWithStats(candidates.astype(np.uint8))
    if count < 2:
        return None
    largest = 1 + int(facts[1:, cv2.CC_STAT_AREA].argmax())
    piece = pieces == largest
    column, row = np.round(middles[largest]).astype(int).tolist()
    label = LABELS[int(np.bincount(semantic[piece]).argmax())]
    apart = 1000.0 / UNITS_PER_METRE * float(np.median(ahead[piece]))
    return Lobe(float(piece.sum() / skin.sum()), apart, column, row, label)


Picture = NDArray[np.floating[Any]]


class FrameQuality(NamedTuple):
    """One frame of a validation."""

    name: str
    """Of the frame, as its files are called."""
    quality: dict[str, float]
    """`psnr` of the image, `l1` of colours in 0..1 where both masks are, `iou` of the masks."""
    column: int
    """Of the middle of the largest error, in the validation image."""
    row: int
    """Likewise."""
    lobe: Lobe | None
    """Skin that stands in front of the head model, where there is some and the data has labels."""


class Validation(NamedTuple):
    """How some frames look and how good they are."""

    picture: Picture  # [frames x S, 3 x S, 3]: render, truth, normals
    frames: list[FrameQuality]

    @property
    def quality(self) -> dict[str, float]:
        """Means over the frames of their `psnr`, `l1` and `iou`."""
        rows = [frame.quality for frame in self.frames]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    @property
    def lobe(self) -> float:
        """Share of the skin that the largest lobe of any frame has; 0 without labels, too."""
        return max(frame.lobe.share if frame.lobe else 0.0 for frame in self.frames)


def evenly(count: int, frames: int) -> list[int]:
    """At most `count` of `frames` frame numbers, evenly spread, neither end among them."""
    return sorted({(2 * place + 1) * frames // (2 * count) for place in range(count)})


def validate(
    model: HeadAvatarModel,
    inputs: FrameParameters,
    dataset: FaceDataset,
    frames: list[int],
    size: int,
    tracer: Tracer,
) -> Validation:
    """Render `frames` at `size` x `size` pixels and hold them against the dataset's images."""
    compared = [_compare(model, inputs, dataset, frame, size, tracer) for frame in frames]
    pictures, qualities = zip(*compared, strict=True)
    return Validation(np.concatenate(pictures), list(qualities))


@torch.no_grad()
def _compare(
    model: HeadAvatarModel,
    inputs: FrameParameters,
    dataset: FaceDataset,
    frame: int,
    size: int,
    tracer: Tracer,
) -> tuple[Picture, FrameQuality]:
    seen = dataset.observation(frame)
    truth, mask = _resized(seen.image, size), _resized(seen.mask.astype(np.float32), size) > 0.5
    driving, _ = inputs(frame)
    camera = inputs.placed(dataset.track.cameras[frame], frame)
    with parametrize.cached():
        made = render(model, driving, camera, (size, size), tracer)
    both = mask & made.mask
    quality = {
        "psnr": psnr(made.rgb, truth),
        "l1": l1(made.rgb, truth, both) if both.any() else 1.0,
        "iou": iou(made.mask, mask),
    }
    normals = np.where(made.mask[..., None], (made.normal + 1.0) / 2.0, 1.0)
    error = np.where(mask | made.mask, np.abs(made.rgb - truth).mean(axis=2), 0.0)
    lobe = None
    if seen.semantic is not None:
        codes = (driving.expression.cpu().numpy(), driving.pose.cpu().numpy())
        head = head_depth(dataset.head, *codes, camera, size)
        lobe = largest_lobe(made.depth, made.mask, head, _nearest(seen.semantic, size))
    row = np.concatenate([made.rgb, truth, normals], axis=1)
    return row, FrameQuality(seen.name, quality, *_middle(error), lobe)


def _middle(error: Picture) -> tuple[int, int]:
    """Column and row where the error `[S, S]`, blurred by a fifteenth of the image, is largest."""
    side = max(1, error.shape[0] // 15)
    row, column = np.unravel_index(int(cv2.blur(error, (side, side)).argmax()), error.shape)
    return int(column), int(row)


def _nearest(labels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """[S, S] label ids, each of one pixel."""
    chosen = cv2.resize(labels, (size, size), interpolation=cv2.INTER_NEAREST)
    return np.asarray(chosen, dtype=np.uint8)


def _resized(picture: Picture, size: int) -> Picture:
    """Every so many pixels, since pixel centres are at integer coordinates and a render does not blur either."""
    if picture.shape[0] % size == 0:
        step = picture.shape[0] // size
        return picture[::step, ::step]
    return np.asarray(
        cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), dtype=picture.dtype
    )


# Sentences about a validation whose avatar is deformed, or worse than it has been.


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
