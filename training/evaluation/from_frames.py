"""Predictions from a directory of PNGs of any system (`--pred`), matched by name or by order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.errors import InputError

from .interfaces import GroundTruth, Options, PredictionSource, SourceKind
from .metric import Image, Prediction

ALPHA_THRESHOLD = 127
"""Alpha above which a pixel shows the head, as in the published masks."""


class FrameFolder(PredictionSource):
    """Image files as predictions.

    Args:
        title: heading of the report.
        paths: one image for each frame of the dataset.
        matched: how the images were matched to the frames, for the report.
    """

    def __init__(self, title: str, paths: list[Path], matched: str) -> None:
        self.title = title
        self.facts = {"frames matched": matched}
        self._paths = paths

    def predict(self, index: int) -> Prediction:
        """Read the image of the dataset's frame at `index`.

        Raises:
            InputError: the file is not an image of 8 bits.
        """
        return prediction_of(read_rgba(self._paths[index]))


def prediction_of(
    image: UInt8[Array, "H W 4"],
    normal: Image | None = None,
    landmarks: Float32[Array, "70 2"] | None = None,
) -> Prediction:
    """Compose an RGBA image over white; its alpha is the mask unless all pixels are opaque."""
    values = image.astype(np.float32) / 255.0
    rgb = values[..., :3]
    alpha = values[..., 3:]
    mask = image[..., 3] > ALPHA_THRESHOLD
    return Prediction(rgb * alpha + (1.0 - alpha), None if mask.all() else mask, normal, landmarks)


def read_rgba(path: Path) -> UInt8[Array, "H W 4"]:
    """Read a PNG as RGBA; one without alpha is opaque.

    Raises:
        InputError: the file is not a readable image of 8 bits.
    """
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint8:
        raise InputError(f"{path} is not a readable 8-bit image; write the frame again")
    code = {2: cv2.COLOR_GRAY2RGBA}.get(image.ndim) or {
        3: cv2.COLOR_BGR2RGBA,
        4: cv2.COLOR_BGRA2RGBA,
    }[image.shape[2]]
    return np.asarray(cv2.cvtColor(image, code))


def match_frames(folder: Path, names: tuple[str, ...]) -> tuple[list[Path], str]:
    """Match the images of a folder to frame names.

    Images are matched by name where there is one for every frame, and else by order, if there are
    as many images as frames. Names match regardless of leading zeros (`1`, `00001`).

    Returns:
        One image for each frame, and `by name` or `by order`.

    Raises:
        InputError: there is no image, or neither names nor numbers agree.
    """
    paths = sorted(folder.glob("*.png"), key=_natural)
    if not paths:
        raise InputError(f"{folder} has no PNG in it; expected one image per frame of the dataset")
    by_name = {_bare(path.stem): path for path in paths}
    keys = [_bare(name) for name in names]
    missing = [name for name, key in zip(names, keys, strict=True) if key not in by_name]
    if not missing and len(set(keys)) == len(keys):
        return [by_name[key] for key in keys], "by name"
    if len(paths) == len(names):
        return paths, "by order"
    reason = (
        f"no image for frame {missing[0]!r}" if missing else "frames of several videos share names"
    )
    raise InputError(
        f"{folder} has {len(paths)} images for {len(names)} frames, and {reason}: name the images "
        "like the frames of the dataset, give one image for each frame, or select frames with "
        "--frames"
    )


def _bare(name: str) -> str:
    return name.lstrip("0") or "0" if name.isdigit() else name


def _natural(path: Path) -> list[str | int]:
    """Sort key that orders numbers in names by value, 2 before 10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.stem)]


@contextmanager
def _open(path: str, truth: GroundTruth, options: Options) -> Iterator[PredictionSource]:
    paths, matched = match_frames(Path(path), truth.track.names)
    yield FrameFolder(f"the frames in {path}", paths, matched)


KIND = SourceKind(
    name="frames",
    description="a directory of PNGs, with --pred; their alpha, if any, is the mask",
    matches=lambda path: Path(path).is_dir() and any(Path(path).glob("*.png")),
    open=_open,
)
