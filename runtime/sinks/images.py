"""`frames/%05d.png`: one RGBA image per frame, counted from 1 as the published data is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from imavatar_deploy.atomic import move_into_place, staging_beside
from imavatar_deploy.errors import UsageError
from imavatar_deploy.marking import marked_png
from imavatar_deploy.progress import human_bytes

from .sink import Image, Sink, SinkFormat, Stream, require_images

NUMBER = re.compile(r"%(0\d+)?d")


def _matches(target: str) -> bool:
    name = Path(target).name
    return name.lower().endswith(".png") and len(NUMBER.findall(name)) == 1 == name.count("%")


def writes_to(target: str, other: str) -> bool:
    """Return whether the images of a target such as `frames/%05d.png` may replace another output.

    Args:
        target, other: `--sink` arguments with the same form of folder. False where `target` is not
            of this sink.
    """
    if not _matches(target) or Path(target).parent != Path(other).parent:
        return False
    name = Path(target).name
    other_name = Path(other).name
    if _matches(other):
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
    with staging_beside(Path(target)) as staging:

        def write(image: Image) -> None:
            names.append(name % (len(names) + 1))
            write_png(staging / names[-1], image, synthetic_mark=stream.synthetic_mark)
            stream.finish(staging / names[-1])

        yield Sink(write, report=lambda: _report(folder, name, names))
        require_images(len(names), target)
        for finished in names:
            move_into_place(staging / finished, folder / finished)


def write_png(path: Path, image: Image, *, synthetic_mark: bool = True) -> None:
    """Write an RGBA image `[H, W, 4]`, with the mark of `imavatar_deploy.marking` or without.

    Raises:
        UsageError: the file cannot be written.
    """
    _, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA))
    try:
        png = encoded.tobytes()
        path.write_bytes(
            marked_png(png) if synthetic_mark else png
        )  # cv2.imwrite crashes on a name that is not UTF-8
    except OSError as error:
        raise UsageError(
            f"{path.name} cannot be written to {path.parent.parent} ({error.strerror or error})"
        ) from error


def _report(folder: Path, name: str, names: list[str]) -> str:
    size = human_bytes(sum((folder / file).stat().st_size for file in names))
    line = f"wrote {folder / names[0]} … {names[-1]} ({len(names)} images, {size})"
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


FORMAT = SinkFormat(
    name="images",
    pattern="frames/%05d.png",
    description="one RGBA image per frame",
    matches=_matches,
    open=_open,
    existing=_existing,
)
