"""Files a video should not have, or should have once: leftovers, frames listed twice."""

from __future__ import annotations

from collections import Counter

from .finding import ERROR, WARNING, Finding
from .video import TRACK_FILE, Video


def check_files(video: Video) -> list[Finding]:
    """Findings about names; whether each file is there and readable is seen when it is decoded."""
    return [*_listed_twice(video), *_not_listed(video)]


def _listed_twice(video: Video) -> list[Finding]:
    track_file = video.folder / TRACK_FILE
    return [
        Finding(
            ERROR,
            "listed twice",
            f"{track_file} lists image/{name}.png {count} times: every frame needs its own picture",
        )
        for name, count in Counter(video.track.names).items()
        if count > 1
    ]


def _not_listed(video: Video) -> list[Finding]:
    listed = set(video.track.names)
    extra = sorted(path for path in (video.folder / "image").glob("*.png") if path.stem not in listed)
    if not extra:
        return []
    count = f"{len(extra)} pictures ({extra[0].name} is one)" if len(extra) > 1 else extra[0].name
    return [
        Finding(
            WARNING,
            "not listed",
            f"{video.folder / 'image'} holds {count} that {TRACK_FILE} does not list: not tracked, and not used",
        )
    ]
