"""USD and USDZ: skeleton, blend shapes and their animation, which reproduce every frame.

A motion takes a few numbers a frame instead of a mesh, and the head can be posed, lit and given
another motion; Alembic is the format for a plain point cache. Pose correctives, which no program
computes itself, are blend shapes that the animation drives, like the expressions. A joint that is
rotated by hand therefore lacks its correctives. Weights are within 0..1, which programs do not
clamp. Colours are linear, as USD requires, and shown by a UsdPreviewSurface; a package has them as
an image unless they change with every frame.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..formats.gltf.materials import Texture
from .format import SequenceFormat
from .motion import Motion
from .neutral_colours import neutral_texture
from .outputs import NAME
from .posing import Channels
from .usd_library import EXTRA, MODULES, Library
from .usd_material import TEXTURE_FILE
from .usd_scene import UsdStage

CHANNELS = ("vertices", "colours")
"""The vertices are used for the extent of each frame only."""

EARLIEST_DATE = (1980, 1, 1, 0, 0, 0, 0, 1, -1)
"""Date of every file in a package, so that the same motion gives the same bytes: ZIP's earliest."""


def _write(path: Path, motion: Motion, frames: Iterable[Channels]) -> None:
    """Write a scene, with the image of a textured motion beside it."""
    image = path.with_suffix(".png")
    if motion.texture is not None:
        image.write_bytes(motion.texture.png)
    _write_scene(path, motion, frames, motion.texture, image.name)


def _write_scene(
    path: Path,
    motion: Motion,
    frames: Iterable[Channels],
    texture: Texture | None,
    texture_file: str = TEXTURE_FILE,
) -> None:
    library = Library()
    try:
        stage = library.Usd.Stage.CreateNew(str(path))
        scene = UsdStage(library, stage, motion, texture, texture_file)
        scene.describe()
        scene.animate(frames)
        stage.GetRootLayer().Save()
    except library.Tf.ErrorException as error:
        raise _write_error(error) from error


def _write_package(path: Path, motion: Motion, frames: Iterable[Channels]) -> None:
    """Write a package of the scene and the image with its colours."""
    library = Library()
    texture = _package_texture(motion)
    layer = path.with_suffix(".usdc")
    image = path.with_suffix(".png")
    try:
        _write_scene(layer, motion, frames, texture)
        package = library.Sdf.ZipFileWriter.CreateNew(str(path))
        _add_file(package, layer, f"{NAME}.usdc")
        if texture is not None:
            image.write_bytes(texture.png)
            _add_file(package, image, TEXTURE_FILE)
        package.Save()
    except library.Tf.ErrorException as error:
        raise _write_error(error) from error
    finally:
        layer.unlink(missing_ok=True)
        image.unlink(missing_ok=True)


def _package_texture(motion: Motion) -> Texture | None:
    """The image of a package, since AR Quick Look and others show no colours of vertices."""
    if motion.texture is not None:
        return motion.texture
    if motion.colour is not None or motion.neutral is None or not motion.textured:
        return None
    return neutral_texture(motion)


def _add_file(package: Any, path: Path, name: str) -> None:
    os.utime(path, (time.mktime(EARLIEST_DATE),) * 2)
    package.AddFile(str(path), name)


def _write_error(error: Exception) -> OSError:
    return OSError(f"USD: {str(error).strip().splitlines()[-1].strip()}")


ROWS = (
    SequenceFormat(
        "usd",
        "a USD scene of skeleton and blend shapes, small",
        ".usd",
        CHANNELS,
        whole=_write,
        modules=MODULES,
        extra=EXTRA,
    ),
    SequenceFormat(
        "usdz",
        "the same in one package, with the colours as an image",
        ".usdz",
        CHANNELS,
        whole=_write_package,
        modules=(*MODULES, "xatlas"),
        extra=EXTRA,
    ),
)
