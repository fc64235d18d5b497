"""check: everything about a dataset that would spoil a training, in sentences, before the training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from imavatar_deploy.errors import ImavatarError, InputError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.progress import Progress, silent

from . import images
from .consistency import check_fit
from .findings import ERROR, WARNING, Finding
from .frame_summary import FrameSummary, PosedPoints, sketch
from .images import READ
from .placement import SYSTEMATIC, check_placement
from .report import Inspection, VideoReport
from .video import TRACK_FILE, Video, find_videos, join_tracks, load_head

# Files a video should not have, should have once, or as the other videos have: leftovers, doubles, labels.


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
    extra = sorted(
        path for path in (video.folder / "image").glob("*.png") if path.stem not in listed
    )
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


def check(
    paths: Sequence[Path],
    *,
    size: int = 256,
    videos: Sequence[str] = (),
    head_model: Path | str | None = None,
    edition: str | None = None,
    progress: Progress = silent,
) -> list[Finding]:
    """What is wrong with the videos in `paths`; empty when nothing is. Arguments as of `FaceDataset.open`."""
    return inspect(
        paths, size=size, videos=videos, head_model=head_model, edition=edition, progress=progress
    ).findings


def inspect(
    paths: Sequence[Path],
    *,
    size: int = 256,
    videos: Sequence[str] = (),
    head_model: Path | str | None = None,
    edition: str | None = None,
    progress: Progress = silent,
) -> Inspection:
    """`check`, with what was seen of each video.

    Raises:
        UsageError: an unknown video, an impossible size.
    """
    images.check_target(size)
    try:
        folders = find_videos([Path(path) for path in paths], videos)
    except InputError as error:
        return Inspection([Finding(ERROR, "layout", str(error))], [])
    findings: list[Finding] = []
    read = [video for folder in folders if (video := _read(folder, findings)) is not None]
    findings += check_labels(read)
    head = _head(read, head_model, edition, findings)
    points = PosedPoints(head) if head else None
    reports = []
    with progress("looking at frames", sum(map(len, read))) as advance:
        for video in read:
            findings += check_files(video)
            sketches = []
            for drawn in _sketches(video, size, points, findings):
                advance(1)
                sketches += [drawn] if drawn is not None else []
            findings += _contradictions(video, sketches)
            reports.append(VideoReport.of(video, sketches))
    return Inspection(findings, reports, head)


def _read(folder: Path, findings: list[Finding]) -> Video | None:
    try:
        return Video.read(folder)
    except InputError as error:
        findings.append(Finding(ERROR, "track", str(error)))
        return None


def _head(
    videos: Sequence[Video], source: Path | str | None, edition: str | None, findings: list[Finding]
) -> HeadModel | None:
    """The head to compare the masks with; without one the comparison is left out, which is said."""
    if not videos:
        return None
    try:
        track = join_tracks(videos)
    except InputError as error:
        findings.append(Finding(ERROR, "joining", str(error)))
        track = videos[0].track
    try:
        return load_head(track, videos[0], source, edition)
    except ImavatarError as error:
        severity = WARNING if source is None else ERROR
        findings.append(Finding(severity, "head", f"poses were not compared with masks: {error}"))
        return None


def _contradictions(video: Video, sketches: Sequence[FrameSummary]) -> list[Finding]:
    """Single frames are compared with their neighbours only where the cameras as a whole can be right."""
    placed = check_placement(video, sketches)
    return (
        placed
        if any(finding.kind in SYSTEMATIC for finding in placed)
        else [*placed, *check_fit(video, sketches)]
    )


def _sketches(
    video: Video, size: int, points: PosedPoints | None, findings: list[Finding]
) -> Iterator[FrameSummary | None]:
    """One for each frame whose pictures can be read; the others become findings."""
    kinds = [kind for kind in READ if kind in ("image", "mask") or video.has(kind)]
    for place in range(len(video)):
        try:
            loaded = images.load({kind: video.file(kind, place) for kind in kinds}, size)
        except InputError as error:
            findings.append(Finding(ERROR, "picture", str(error)))
            yield None
            continue
        projection = points.project(video.track.frame(place)) if points else None
        yield sketch(place, loaded, projection, video.keypoints[place])
