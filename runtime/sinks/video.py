"""Videos at a constant frame rate: `*.mp4`, `*.avi`, and `*.webm` and `*.mov` with transparency.

H.264 has no transparency: the background of `*.mp4` and `*.avi` becomes white.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from imavatar_deploy.progress import human_bytes
from imavatar_deploy.video_file import AVI, MOV, MP4, WEBM, VideoKind, open_video

from .backgrounds import over, white
from .sink import Image, Sink, SinkFormat, Stream, existing_file, require_images


@contextmanager
def _open(target: str, stream: Stream, kind: VideoKind) -> Iterator[Sink]:
    count = 0
    background = white(stream)
    with open_video(
        target,
        stream.width,
        stream.height,
        stream.fps,
        kind=kind,
        synthetic_mark=stream.synthetic_mark,
        finish=stream.finish,
    ) as add_image:

        def write(image: Image) -> None:
            nonlocal count
            count += 1
            add_image(image if kind.transparent else over(image, background))

        yield Sink(
            write,
            report=lambda: (
                f"wrote {target} ({human_bytes(Path(target).stat().st_size)}, {count} frames)"
            ),
        )
        require_images(count, target)


def _row(name: str, suffix: str, description: str, kind: VideoKind) -> SinkFormat:
    def open_target(target: str, stream: Stream) -> AbstractContextManager[Sink]:
        return _open(target, stream, kind)

    return SinkFormat(
        name=name,
        pattern=f"*{suffix}",
        description=description,
        matches=lambda target: target.lower().endswith(suffix),
        open=open_target,
        existing=existing_file,
    )


FORMAT = _row("video", ".mp4", "H.264 video", MP4)

FORMATS = [
    FORMAT,
    _row("webm", ".webm", "VP9 video with transparency", WEBM),
    _row("mov", ".mov", "ProRes 4444 video with transparency, for editors", MOV),
    _row("avi", ".avi", "H.264 video", AVI),
]
