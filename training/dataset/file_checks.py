"""Files a video should not have, should have once, or as the other videos have: leftovers, doubles, labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .finding import ERROR, WARNING, Finding
from .video import TRACK_FILE, Video


def check_files(video: Video) -> list[Finding]:
    """Findings about names; whether each file is there and readable is seen when it is decoded."""
    return [*_listed_twice(video), *_not_listed(video)]


def check_labels(videos: Sequence[Video]) -> list[Finding]:
    """Labels are of use only when every video has them."""
    without = [video for video in videos if not video.has("semantic")]
    if not without or len(without) == len(videos):
        return []
    return [
        Finding(
            WARNING,
            "labels",
            f"{without[0].folder / 'semantic'} is missing while other videos have labels: none of them are used",
        )
    ]


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
