"""`--pred FRAMES`: a directory of PNGs from any other system, matched to the dataset by name or by order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError

from .metric import Image, Points, Prediction
from .source import GroundTruth, Options, PredictionSource, SourceKind

OPAQUE = 127
"""An alpha above this is the head, as the published masks have it."""


class FrameFolder(PredictionSource):
    """Images that lie in a folder.

    Args:
        title: for the report.
        paths: one image per frame of the dataset.
    """

    def __init__(self, title: str, paths: list[Path], matched: str) -> None:
        self.title = title
        self.facts = {"frames matched": matched}
        self._paths = paths

    def predict(self, index: int) -> Prediction:
        """See `PredictionSource`."""
        return prediction_of(read_rgba(self._paths[index]))


def prediction_of(
    image: NDArray[np.uint8], normal: Image | None = None, landmarks: Points | None = None
) -> Prediction:
    """Return an image `[H, W, 4]` over white, with its alpha as the mask where any pixel is transparent."""
    values = image.astype(np.float32) / 255.0
    rgb, alpha = values[..., :3], values[..., 3:]
    mask = image[..., 3] > OPAQUE
    return Prediction(rgb * alpha + (1.0 - alpha), None if mask.all() else mask, normal, landmarks)


def read_rgba(path: Path) -> NDArray[np.uint8]:
    """[H, W, 4] bytes of a PNG; one without alpha is opaque.

    Raises:
        InputError: it is no readable image of 8 bits.
    """
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint8:
        raise InputError(f"{path} is not a readable 8-bit image; write the frame again")
    code = {2: cv2.COLOR_GRAY2RGBA}.get(image.ndim) or {
        3: cv2.COLOR_BGR2RGBA,
        4: cv2.COLOR_BGRA2RGBA,
    }[image.shape[2]]
    return np.asarray(cv2.cvtColor(image, code))


def matched_frames(folder: Path, names: tuple[str, ...]) -> tuple[list[Path], str]:
    """One image per frame name, and how they were matched: by name where every name is there, else by order.

    A name matches whatever zeros it is padded with (`1`, `00001`). Order is taken only where the numbers agree.

    Raises:
        InputError: there is no image, or neither names nor numbers agree.
    """
    paths = sorted(folder.glob("*.png"), key=_natural)
    if not paths:
        raise InputError(f"{folder} has no PNG in it; expected one image per frame of the dataset")
    by_name = {_bare(path.stem): path for path in paths}
    wanted = [_bare(name) for name in names]
    missing = [name for name, bare in zip(names, wanted, strict=True) if bare not in by_name]
    if not missing and len(set(wanted)) == len(wanted):
        return [by_name[bare] for bare in wanted], "by name"
    if len(paths) == len(names):
        return paths, "by order"
    lacking = (
        f"no image for frame {missing[0]!r}" if missing else "frames of several videos share names"
    )
    raise InputError(
        f"{folder} has {len(paths)} images for {len(names)} frames, and {lacking}: name the images as the dataset "
        "does, give as many as there are frames, or choose those with --frames"
    )


def _bare(name: str) -> str:
    return name.lstrip("0") or "0" if name.isdigit() else name


def _natural(path: Path) -> list[str | int]:
    """Sort key under which 2 comes before 10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.stem)]


@contextmanager
def _open(path: str, truth: GroundTruth, options: Options) -> Iterator[PredictionSource]:
    paths, matched = matched_frames(Path(path), truth.track.names)
    yield FrameFolder(f"the frames in {path}", paths, matched)


KIND = SourceKind(
    name="frames",
    description="a directory of PNGs, with --pred; their alpha, if any, is the mask",
    matches=lambda path: Path(path).is_dir() and any(Path(path).glob("*.png")),
    open=_open,
)
