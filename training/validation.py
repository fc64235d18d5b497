"""Validation of a run: renders of some frames beside ground truth, their quality, and warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.nn.utils import parametrize

from imavatar_deploy.arrays import Array, Bool, Float, UInt8
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.dataset import FaceDataset
from imavatar_deploy.dataset.labels import LABELS
from imavatar_deploy.fidelity.image_metrics import iou, l1, psnr
from imavatar_deploy.model.head_avatar import HeadAvatarModel
from imavatar_deploy.model.render import render
from imavatar_deploy.model.tracing import Tracer

from .frame_parameters import FrameParameters
from .semantics import EMPTY_DEPTH, SKIN_LABELS, head_depth, nearest_around

GAP = 0.1
"""Distance in front of the head model from which surface is a lobe, model units (25 mm)."""

LOBE_SHARE = 0.005
"""Smallest share of a frame's skin of a lobe that is reported; less is a few pixels."""

DROPS = {"iou": ("mask IoU", 0.01, 4), "psnr": ("PSNR", 1.0, 1)}
"""Title of a quality, the drop below the best so far that is reported, and its decimals. Sound runs
vary by less than 0.002 and 0.3 dB."""


# Lobes: parts of the surface far in front of the head model where the labels say skin


class Lobe(NamedTuple):
    """A connected part of the surface in front of the head model."""

    share: float
    """Share of the skin's pixels, 0 to 1."""
    millimetres: float
    """Median distance in front of the head model."""
    column: int
    """Column of its centre."""
    row: int
    """Row of its centre."""
    label: str
    """Name of its most frequent label."""


def largest_lobe(
    depth: Float[Array, "H W"],
    mask: Bool[Array, "H W"],
    head: Float[Array, "H W"],
    semantic: UInt8[Array, "H W"],
) -> Lobe | None:
    """The largest connected part of the skin that is nearer than the head model by over `GAP`.

    Args:
        depth: depth of the render, model units.
        mask: pixels in which the render shows the avatar.
        head: depth of the head model, from `head_depth`.
        semantic: label ids.
    """
    nearest = nearest_around(head)
    skin = np.isin(semantic, SKIN_LABELS)
    ahead = nearest - depth
    candidates = skin & (nearest < EMPTY_DEPTH) & mask & (ahead > GAP)
    count, components, stats, centres = cv2.connectedComponentsWithStats(
        candidates.astype(np.uint8)
    )
    if count < 2:
        return None
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    component = components == largest
    column, row = np.round(centres[largest]).astype(int).tolist()
    label = LABELS[int(np.bincount(semantic[component]).argmax())]
    millimetres = 1000.0 / UNITS_PER_METRE * float(np.median(ahead[component]))
    return Lobe(float(component.sum() / skin.sum()), millimetres, column, row, label)


# Quality of frames


class FrameQuality(NamedTuple):
    """Quality of one frame of a validation."""

    name: str
    """Name of the frame, as of its files."""
    quality: dict[str, float]
    """`psnr` of the image, `l1` of colours in 0..1 where both masks overlap, `iou` of the masks."""
    column: int
    """Column of the centre of the largest error, in the validation image."""
    row: int
    """Row of the centre of the largest error, in the validation image."""
    lobe: Lobe | None
    """The largest lobe; None where there is none or the data has no labels."""


class Validation(NamedTuple):
    """Images and quality of some frames."""

    picture: Float[Array, "H W 3"]
    """A row of S pixels for each frame: render, ground truth and normals side by side."""
    frames: list[FrameQuality]

    @property
    def quality(self) -> dict[str, float]:
        """Means over the frames of their `psnr`, `l1` and `iou`."""
        rows = [frame.quality for frame in self.frames]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    @property
    def lobe(self) -> float:
        """Share of the skin of the largest lobe of any frame; 0 without lobes or labels."""
        return max(frame.lobe.share if frame.lobe else 0.0 for frame in self.frames)


def evenly_spaced(count: int, frames: int) -> list[int]:
    """At most `count` of `frames` frame numbers, at the centres of equal intervals."""
    return sorted({(2 * index + 1) * frames // (2 * count) for index in range(count)})


def validate(
    model: HeadAvatarModel,
    inputs: FrameParameters,
    dataset: FaceDataset,
    frames: list[int],
    size: int,
    tracer: Tracer,
) -> Validation:
    """Render `frames` at `size` x `size` pixels and compare them with the dataset's images."""
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
) -> tuple[Float[Array, "S _ 3"], FrameQuality]:
    observed = dataset.observation(frame)
    truth = _resize(observed.image, size)
    mask = _resize(observed.mask.astype(np.float32), size) > 0.5
    driving, _ = inputs(frame)
    camera = inputs.optimised_camera(dataset.track.cameras[frame], frame)
    with parametrize.cached():
        rendered = render(model, driving, camera, (size, size), tracer)
    both = mask & rendered.mask
    quality = {
        "psnr": psnr(rendered.rgb, truth),
        "l1": l1(rendered.rgb, truth, both) if both.any() else 1.0,
        "iou": iou(rendered.mask, mask),
    }
    normals = np.where(rendered.mask[..., None], (rendered.normal + 1.0) / 2.0, 1.0)
    error = np.where(mask | rendered.mask, np.abs(rendered.rgb - truth).mean(axis=2), 0.0)
    lobe = None
    if observed.semantic is not None:
        codes = (driving.expression.cpu().numpy(), driving.pose.cpu().numpy())
        head = head_depth(dataset.head, *codes, camera, size)
        labels = _resized_labels(observed.semantic, size)
        lobe = largest_lobe(rendered.depth, rendered.mask, head, labels)
    row = np.concatenate([rendered.rgb, truth, normals], axis=1)
    return row, FrameQuality(observed.name, quality, *_largest_error(error), lobe)


def _largest_error(error: Float[Array, "S S"]) -> tuple[int, int]:
    """Column and row of the largest error after a blur of a fifteenth of the image."""
    side = max(1, error.shape[0] // 15)
    row, column = np.unravel_index(int(cv2.blur(error, (side, side)).argmax()), error.shape)
    return int(column), int(row)


def _resized_labels(labels: UInt8[Array, "H W"], size: int) -> UInt8[Array, "S S"]:
    """Label ids of the nearest pixels."""
    resized = cv2.resize(labels, (size, size), interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized, dtype=np.uint8)


def _resize(picture: Float[Array, "H W ..."], size: int) -> Float[Array, "S S ..."]:
    """Subsample a picture by a whole step where possible, and average areas otherwise.

    Pixel centres are at integer coordinates, and a render does not average over a pixel, so
    subsampling compares like with like.
    """
    if picture.shape[0] % size == 0:
        step = picture.shape[0] // size
        return picture[::step, ::step]
    return np.asarray(
        cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), dtype=picture.dtype
    )


# Warnings of a deformed avatar and of falling quality


def quality_warnings(validation: Validation, earlier: Sequence[Mapping[str, Any]]) -> list[str]:
    """Warnings of a validation: what is wrong, where, and what to do; empty for a sound avatar.

    Args:
        earlier: rows of `validation.jsonl` with `step`, `psnr` and `iou`, also of the warm start.
    """
    sentences = [_fallen(name, validation, earlier) for name in DROPS]
    return [sentence for sentence in (_deformation_warning(validation), *sentences) if sentence]


def _deformation_warning(validation: Validation) -> str | None:
    lobes = [(frame.lobe.share, frame.lobe, frame) for frame in validation.frames if frame.lobe]
    _, lobe, frame = max(lobes, key=lambda row: row[0], default=(0.0, None, None))
    if lobe is None or frame is None or lobe.share < LOBE_SHARE:
        return None
    return (
        f"the head is deformed: {100.0 * lobe.share:.1f} % of the skin, labelled {lobe.label}, "
        f"stands {lobe.millimetres:.0f} mm in front of the head model, {_place(frame, lobe)}; if "
        "the tracked head fits the images there, train again with another --seed or with "
        "--preset small"
    )


def _fallen(name: str, validation: Validation, earlier: Sequence[Mapping[str, Any]]) -> str | None:
    title, drop, digits = DROPS[name]
    best = max(earlier, key=lambda row: row[name], default=None)
    now = validation.quality[name]
    if best is None or now >= best[name] - drop:
        return None
    worst = min(validation.frames, key=lambda frame: frame.quality[name])
    return (
        f"{title} has fallen to {now:.{digits}f} from {best[name]:.{digits}f} at step "
        f"{best['step']}: the avatar has lost its shape or colours; the largest error is "
        f"{_place(worst, worst)}; train again with lower optimiser.learning_rate and "
        "optimiser.matrix_rate (--config)"
    )


def _place(frame: FrameQuality, centre: Lobe | FrameQuality) -> str:
    return f"around column {centre.column}, row {centre.row} of the render of frame {frame.name}"
