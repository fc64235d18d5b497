"""Masks of the person: the network's mask cleaned and steadied, and networks of the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Shaped, UInt8
from imavatar_deploy.dataset.labels import LABELS
from imavatar_deploy.errors import InputError
from imavatar_deploy.onnx_session import open_session, run_graph

from .prepared_video import PreparedVideo
from .quality import face_height, face_mask

STILL = 0.004
"""Motion of the face between two frames, in sides of the picture, at which the mask of the
neighbour counts by a factor e less."""

NEIGHBOUR = 0.5
"""Weight of the mask of a neighbour that shows the same, relative to the frame's own."""

MAX_GAP = 0.1
"""Seconds up to which two frames are neighbours."""

HOLE = 0.3
"""Largest hole that is filled, as a share of the square of the face's height."""

EDGE = 4.0
"""Steepness of the border: the mask goes from 0 to 255 while the network's goes through 1 / EDGE
around one half."""


def steady_mask(prepared: PreparedVideo, index: int) -> UInt8[Array, "S S"]:
    """Return the mask of a frame, averaged with its neighbours where the face stands still."""
    size = len(own := prepared.mask(index).astype(np.float32))
    total: Array = own
    weight = 1.0
    for other in (index - 1, index + 1):
        if not 0 <= other < len(prepared):
            continue
        if abs(prepared.times[other] - prepared.times[index]) > MAX_GAP:
            continue
        step = prepared.landmarks[other, :, :2] - prepared.landmarks[index, :, :2]
        motion = float(np.median(np.linalg.norm(step, axis=1)))
        share = NEIGHBOUR * float(np.exp(-((motion / (STILL * size)) ** 2)))
        if share > 0.01:
            total = total + share * prepared.mask(other)
            weight += share
    return np.asarray(np.round(total / weight).astype(np.uint8))


def clean_mask(
    soft: UInt8[Array, "S S"], points: Float32[Array, "L D"]
) -> tuple[UInt8[Array, "S S"], Bool[Array, "S S"]]:
    """Keep the piece of a mask that holds the face, fill its holes and sharpen its border.

    The face itself always belongs to it.

    Args:
        soft: the network's mask, 0..255.
        points: landmarks, pixels.

    Returns:
        The mask in 0..255, and the pixels that show the person.
    """
    size = len(soft)
    face = face_mask(points, size, size)
    sharp = np.clip((soft.astype(np.float32) / 255 - 0.5) * EDGE + 0.5, 0, 1)
    sharp[face] = 1.0
    person = sharp > 0.5
    _, pieces = cv2.connectedComponents(person.astype(np.uint8))
    names = pieces[face]
    main = np.bincount(names).argmax() if len(names) else np.bincount(pieces[person]).argmax()
    keep = pieces == main
    _, holes, stats, _ = cv2.connectedComponentsWithStats((~keep).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < HOLE * face_height(points) ** 2
    at_border = np.unique(np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]]))
    small[at_border] = False
    small[0] = False
    filled = small[holes]
    keep |= filled
    sharp[filled] = 1.0
    # The soft border of the piece stays; other pieces go with theirs.
    around = cv2.dilate(keep.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    sharp[~around] = 0.0
    sharp[~keep] = np.minimum(sharp[~keep], 0.49)
    return np.round(255 * sharp).astype(np.uint8), keep


# Networks of the user

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
IMAGENET_DEVIATION = np.array([0.229, 0.224, 0.225], dtype=np.float32)

FREE_SIDE = 512
"""Side of the input of a network that takes any size."""


class ImageNetwork:
    """An ONNX graph that takes one RGB image.

    Args:
        path: the graph; its input is `[1, 3, H, W]` or `[1, H, W, 3]` float32.
        mean: subtracted from RGB in 0..1.
        deviation: what the difference is divided by.
        threads: of ONNX Runtime.

    Raises:
        InputError: the file is no such graph.
        MissingDependencyError: onnxruntime is not installed.
    """

    def __init__(self, path: Path, mean: Any, deviation: Any, threads: int = 0) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"there is no file {str(path)!r}: expected an ONNX graph")
        self._session = open_session(self.path, threads=threads)
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape)
        if len(inputs) != 1 or len(shape) != 4 or 3 not in (shape[1], shape[3]):
            raise InputError(
                f"{path} must take one image of shape [1, 3, H, W] or [1, H, W, 3], got "
                f"{len(inputs)} inputs, the first of shape {shape}"
            )
        self._name = inputs[0].name
        self._channels_first = shape[1] == 3
        sides = shape[2:] if self._channels_first else shape[1:3]
        self._sides = [side if isinstance(side, int) and side > 0 else FREE_SIDE for side in sides]
        self._mean = np.float32(mean)
        self._deviation = np.float32(deviation)

    def run(self, image: UInt8[Array, "S S 3"]) -> Shaped[Array, "C H W"]:
        """Return the first output for an image, channels first, with one batch removed."""
        height, width = self._sides
        resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        values = (resized.astype(np.float32) / 255 - self._mean) / self._deviation
        batch = values.transpose(2, 0, 1)[None] if self._channels_first else values[None]
        outputs = run_graph(self._session, {self._name: np.ascontiguousarray(batch)})
        first = np.asarray(next(iter(outputs.values())))
        while first.ndim > 3 and first.shape[0] == 1:
            first = first[0]
        if first.ndim == 2:
            first = first[None]
        if first.ndim != 3:
            raise InputError(f"{self.path} returns shape {list(first.shape)}: expected [C, H, W]")
        if first.shape[2] < first.shape[0] and first.shape[2] <= len(LABELS):
            first = first.transpose(2, 0, 1)
        return first


MATTE_CHANNELS = (1, 2, 4)
"""Channels of a matting network: a mask, background and person, or RGB and mask."""


class MatteNetwork(ImageNetwork):
    """A matting network of the user: RGB in -1..1, result 0..1, the last channel is the person."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        super().__init__(path, 0.5, 0.5, threads)

    def mask(self, image: UInt8[Array, "S S 3"]) -> Float32[Array, "S S"]:
        """Return the mask of the person, 0..1."""
        channels = self.run(image)
        if len(channels) not in MATTE_CHANNELS:
            raise InputError(
                f"{self.path} returns {len(channels)} channels: expected one mask, or background "
                "and person, or RGB and mask"
            )
        matte = channels[-1].astype(np.float32)
        if not np.isfinite(matte).all() or matte.min() < -0.01 or matte.max() > 1.01:
            raise InputError(
                f"{self.path} returns values from {matte.min():g} to {matte.max():g}: expected a "
                "mask in 0..1"
            )
        resized = cv2.resize(matte, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(resized.clip(0, 1))


class ParserNetwork(ImageNetwork):
    """A face-parsing network of the user: RGB with ImageNet's mean and deviation, 19 scores."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        super().__init__(path, IMAGENET_MEAN, IMAGENET_DEVIATION, threads)

    def labels(self, image: UInt8[Array, "S S 3"]) -> UInt8[Array, "S S"]:
        """Return the label id of every pixel."""
        scores = self.run(image)
        if len(scores) != len(LABELS):
            raise InputError(
                f"{self.path} returns {len(scores)} classes: expected the {len(LABELS)} of "
                "CelebAMask-HQ"
            )
        side = image.shape[1::-1]
        resized = [cv2.resize(score.astype(np.float32), side) for score in scores]
        return np.asarray(np.stack(resized).argmax(axis=0).astype(np.uint8))


# Ready pictures of the user


class PictureFolder:
    """A folder with one picture for every frame of a video, in the order of their numbers.

    Args:
        folder: files such as `1.png` or `frame_0001.png`.
        frames: number of frames of the video.

    Raises:
        InputError: the folder does not hold one picture a frame.
    """

    def __init__(self, folder: Path, frames: int) -> None:
        if not Path(folder).is_dir():
            raise InputError(f"there is no folder {str(folder)!r} with one picture a frame")
        self._files = sorted(Path(folder).glob("*.png"), key=_number)
        if len(self._files) != frames:
            raise InputError(
                f"{folder} holds {len(self._files)} .png and the video has {frames} frames: "
                "expected one picture for every frame"
            )

    def read(self, index: int, width: int, height: int) -> UInt8[Array, "H W"]:
        """Return the picture of frame `index` of the video, one channel, at the video's size."""
        path = self._files[index]
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if picture is None:
            raise InputError(f"{path} is not a readable picture")
        if picture.shape[1] * height != picture.shape[0] * width:
            raise InputError(
                f"{path} has {picture.shape[1]} x {picture.shape[0]} pixels and the video "
                f"{width} x {height}: expected pictures of the whole frame"
            )
        resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        return np.asarray(resized)


def _number(path: Path) -> tuple[int, str]:
    digits = "".join(character for character in path.stem if character.isdigit())
    return int(digits or 0), path.stem
