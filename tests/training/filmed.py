"""A short film of a rendered subject, for the tests of `imavatar-data track`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from click.testing import CliRunner, Result

from imavatar_deploy.training.commands.data import data

SIDE = 144
FRAMES = 14
SIZE = 96
"""Side of the tracked pictures."""
FOCAL = 2.7 * SIDE
"""Focal length of rendered subjects."""

OPTIONS = ("--size", SIZE, "--focal", FOCAL, "--no-report", "--i-may-use-this-face")


def encode(images: Sequence[np.ndarray], path: Path) -> Path:
    """Write images as an H.264 video of 25 frames a second."""
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = (
            images[0].shape[1],
            images[0].shape[0],
            "yuv420p",
        )
        for image in images:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode(None))
    return path


def images_of(subject: Path) -> list[np.ndarray]:
    """The RGB images of a synthetic dataset."""
    return [
        np.ascontiguousarray(cv2.imread(str(subject / "image" / f"{k}.png"))[..., ::-1])
        for k in range(1, FRAMES + 1)
    ]


def call(*arguments: Any) -> Result:
    """Run `imavatar-data track`."""
    return CliRunner().invoke(data, ["track", *(str(argument) for argument in arguments)])


def tracked(out: Path, *arguments: Any) -> Path:
    """Run `imavatar-data track` of videos with options, and return the dataset."""
    result = call(*arguments, "--out", out, *OPTIONS)
    assert result.exit_code == 0, (result.output, result.exc_info)
    return out
