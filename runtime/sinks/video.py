"""`*.mp4`: H.264 video in yuv420p at a constant frame rate; transparency becomes white."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imavatar_deploy.progress import human_bytes
from imavatar_deploy.video_file import open_video

from .backgrounds import over, white
from .sink import Image, Sink, SinkFormat, Stream, existing_file, require_images


@contextmanager
def _open(target: str, stream: Stream) -> Iterator[Sink]:
    count = 0
    background = white(stream)
    with open_video(
        target,
        stream.width,
        stream.height,
        stream.fps,
        synthetic_mark=stream.synthetic_mark,
        finish=stream.finish,
    ) as add_image:

        def write(image: Image) -> None:
            nonlocal count
            count += 1
            add_image(over(image, background))

        yield Sink(
            write,
            report=lambda: (
                f"wrote {target} ({human_bytes(Path(target).stat().st_size)}, {count} frames)"
            ),
        )
        require_images(count, target)


FORMAT = SinkFormat(
    name="video",
    pattern="*.mp4",
    description="H.264 video",
    matches=lambda target: target.lower().endswith(".mp4"),
    open=_open,
    existing=existing_file,
)
