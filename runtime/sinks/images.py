"""`frames/%05d.png`: one RGBA image per frame, counted from 1 as the published data is.

`frames/%05d.jpg` has no transparency: the background becomes white. A folder, `frames/`, receives
`%05d.png`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.atomic import move_into_place, staging_beside
from imavatar_deploy.errors import UsageError
from imavatar_deploy.jpeg import encode_jpeg
from imavatar_deploy.marking import marked_jpeg, marked_png
from imavatar_deploy.progress import human_bytes

from .backgrounds import over
from .sink import Image, Sink, SinkFormat, Stream, require_images

NUMBER = re.compile(r"%(0\d+)?d")


NAME_IN_FOLDER = "%05d.png"
"""Names of the images in a folder that is a target."""

JPEG_SUFFIXES = (".jpg", ".jpeg")

JPEG_QUALITY = 95


def _is_sequence(target: str, suffixes: tuple[str, ...]) -> bool:
    name = Path(target).name
    return name.lower().endswith(suffixes) and len(NUMBER.findall(name)) == 1 == name.count("%")


def _matches(target: str) -> bool:
    return _is_sequence(target, (".png",))


def _matches_jpeg(target: str) -> bool:
    return _is_sequence(target, JPEG_SUFFIXES)


def _matches_folder(target: str) -> bool:
    if not target or "://" in target:
        return False
    with suppress(OSError, ValueError):  # a name that is too long, or has a null byte
        return target.endswith(("/", os.sep)) or Path(target).is_dir()
    return False


def in_folder(folder: str) -> str:
    """Return the target of the images that a folder receives: `frames/%05d.png` of `frames/`."""
    return str(Path(folder) / NAME_IN_FOLDER)


def _numbered(target: str) -> bool:
    return _matches(target) or _matches_jpeg(target)


def writes_to(target: str, other: str) -> bool:
    """Return whether the images of a target such as `frames/%05d.png` may replace another output.

    Args:
        target, other: `--sink` arguments with the same form of folder. False where `target` is not
            of this sink.
    """
    if not _numbered(target) or Path(target).parent != Path(other).parent:
        return False
    name = Path(target).name
    other_name = Path(other).name
    if _numbered(other):
        return NUMBER.sub("%d", name) == NUMBER.sub("%d", other_name)
    return number_of(other_name, name) is not None


def number_of(file: str, name: str) -> int | None:
    """The number (from 1) whose image has the name `file` under `name`, such as `%05d.png`."""
    before, after = NUMBER.split(name)[:: NUMBER.groups + 1]
    match = re.fullmatch(rf"{re.escape(before)}(\d+){re.escape(after)}", file, re.ASCII)
    number = int(match[1]) if match else 0
    return number if number and name % number == file else None


@contextmanager
def _open(target: str, stream: Stream) -> Iterator[Sink]:
    folder = Path(target).parent
    name = Path(target).name
    names: list[str] = []
    removed: list[Path] = []
    write_image = _write_jpeg if _matches_jpeg(target) else write_png
    with staging_beside(Path(target)) as staging:

        def write(image: Image) -> None:
            names.append(name % (len(names) + 1))
            write_image(staging / names[-1], image, synthetic_mark=stream.synthetic_mark)
            stream.finish(staging / names[-1])

        yield Sink(write, report=lambda: _report(folder, name, names, len(removed)))
        require_images(len(names), target)
        for finished in names:
            move_into_place(staging / finished, folder / finished)
        if stream.overwrite:
            removed += _remove_rest(target, len(names))


def write_png(path: Path, image: Image, *, synthetic_mark: bool = True) -> None:
    """Write an RGBA image `[H, W, 4]`, with the mark of `imavatar_deploy.marking` or without.

    Raises:
        UsageError: the file cannot be written.
    """
    _, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA))
    png = encoded.tobytes()
    _write_bytes(path, marked_png(png) if synthetic_mark else png)


def _write_jpeg(path: Path, image: Image, *, synthetic_mark: bool) -> None:
    """Write an RGBA image over white as a JPEG.

    Raises:
        UsageError: the file cannot be written.
    """
    height, width = image.shape[:2]
    jpeg = encode_jpeg(over(image, np.full((height, width, 3), 255, np.uint8)), JPEG_QUALITY)
    _write_bytes(path, marked_jpeg(jpeg) if synthetic_mark else jpeg)


def _write_bytes(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)  # cv2.imwrite crashes on a name that is not UTF-8
    except OSError as error:
        raise UsageError(
            f"{path.name} cannot be written to {path.parent.parent} ({error.strerror or error})"
        ) from error


def _remove_rest(target: str, count: int) -> list[Path]:
    """Remove the images of a longer earlier run: regular files with numbers above `count`."""
    name = Path(target).name
    rest = [
        path
        for path in _existing(target)
        if not path.is_symlink() and (number_of(path.name, name) or 0) > count
    ]
    for path in rest:
        path.unlink()
    return rest


def _report(folder: Path, name: str, names: list[str], removed: int) -> str:
    size = human_bytes(sum((folder / file).stat().st_size for file in names))
    line = f"wrote {folder / names[0]} … {names[-1]} ({len(names)} images, {size})"
    if removed:
        line += f"; {removed} more of an earlier run removed"
    numbers = [number_of(path.name, name) or 0 for path in folder.iterdir()]
    if older := [number for number in numbers if number > len(names)]:
        line += f"; {len(older)} of an earlier run remain, up to {name % max(older)}"
    return line


def _existing(target: str) -> list[Path]:
    path = Path(target)
    if not path.parent.is_dir():
        return []
    return sorted(
        other
        for other in path.parent.iterdir()
        if number_of(other.name, path.name) and other.is_file()
    )


FORMATS = [
    SinkFormat(
        name="images",
        pattern="frames/%05d.png",
        description="one RGBA image per frame",
        matches=_matches,
        open=_open,
        existing=_existing,
    ),
    SinkFormat(
        name="jpegs",
        pattern="frames/%05d.jpg",
        description="one image per frame, over white",
        matches=_matches_jpeg,
        open=_open,
        existing=_existing,
    ),
]

FOLDER = SinkFormat(
    name="folder",
    pattern="frames/",
    description=f"{NAME_IN_FOLDER} in a folder",
    matches=_matches_folder,
    open=lambda target, stream: _open(in_folder(target), stream),
    existing=lambda target: _existing(in_folder(target)),
)
