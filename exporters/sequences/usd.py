"""USD: a skeleton, blend shapes and their animation, which rebuild every frame exactly; and the same as a USDZ package.

A motion then costs some numbers a frame instead of a mesh, and the head stays one that can be posed, lit and given
another motion; who wants a plain cache of points has Alembic. The pose correctives, which no program computes by
itself, are blend shapes like the expressions, driven by the animation: who bends a joint by hand gets the bend without
its corrective. Colours are linear, as USD has them.
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


def _write(path: Path, take: Motion, frames: Iterable[Channels]) -> None:
    library = Library()
    try:
        stage = library.Usd.Stage.CreateNew(str(path))
        scene = UsdStage(library, stage, take)
        scene.describe()
        scene.animate(frames)
        stage.GetRootLayer().Save()
    except library.Tf.ErrorException as error:
        raise OSError(f"USD: {str(error).strip().splitlines()[-1].strip()}") from error


DAWN = (1980, 1, 1, 0, 0, 0, 0, 1, -1)
"""The date of every file in a package: the first that ZIP can tell, so that the same take gives the same bytes."""


def _write_package(path: Path, take: Motion, frames: Iterable[Channels]) -> None:
    library, layer = Library(), path.with_suffix(".usdc")
    try:
        _write(layer, take, frames)
        os.utime(layer, (time.mktime(DAWN),) * 2)
        package = library.Sdf.ZipFileWriter.CreateNew(str(path))
        package.AddFile(str(layer), f"{NAME}.usdc")
        package.Save()
    except library.Tf.ErrorException as error:
        raise OSError(f"USD: {str(error).strip().splitlines()[-1].strip()}") from error
    finally:
        layer.unlink(missing_ok=True)


CHANNELS = ("vertices", "colours")
"""The vertices only for the extent of each frame."""

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
