"""USD and USDZ: skeleton, blend shapes and their animation, which reproduce every frame exactly.

A motion takes a few numbers a frame instead of a mesh, and the head can be posed, lit and given
another motion; Alembic is the format for a plain point cache. Pose correctives, which no program
computes itself, are blend shapes that the animation drives, like the expressions. A joint that is
rotated by hand therefore lacks its correctives. Colours are linear, as USD requires.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from .format import SequenceFormat
from .motion import Motion
from .outputs import NAME
from .posing import Channels
from .usd_scene import EXTRA, MODULES, Library, UsdStage

CHANNELS = ("vertices", "colours")
"""The vertices are used for the extent of each frame only."""

EARLIEST_DATE = (1980, 1, 1, 0, 0, 0, 0, 1, -1)
"""Date of every file in a package, so that the same motion gives the same bytes: ZIP's earliest."""


def _write(path: Path, motion: Motion, frames: Iterable[Channels]) -> None:
    library = Library()
    try:
        stage = library.Usd.Stage.CreateNew(str(path))
        scene = UsdStage(library, stage, motion)
        scene.describe()
        scene.animate(frames)
        stage.GetRootLayer().Save()
    except library.Tf.ErrorException as error:
        raise OSError(f"USD: {str(error).strip().splitlines()[-1].strip()}") from error


def _write_package(path: Path, motion: Motion, frames: Iterable[Channels]) -> None:
    library = Library()
    layer = path.with_suffix(".usdc")
    try:
        _write(layer, motion, frames)
        os.utime(layer, (time.mktime(EARLIEST_DATE),) * 2)
        package = library.Sdf.ZipFileWriter.CreateNew(str(path))
        package.AddFile(str(layer), f"{NAME}.usdc")
        package.Save()
    except library.Tf.ErrorException as error:
        raise OSError(f"USD: {str(error).strip().splitlines()[-1].strip()}") from error
    finally:
        layer.unlink(missing_ok=True)


ROWS = (
    SequenceFormat(
        "usd",
        "a USD scene of skeleton and blend shapes, exact and small",
        ".usd",
        CHANNELS,
        whole=_write,
        modules=MODULES,
        extra=EXTRA,
    ),
    SequenceFormat(
        "usdz",
        "the same in one package",
        ".usdz",
        CHANNELS,
        whole=_write_package,
        modules=MODULES,
        extra=EXTRA,
    ),
)
