"""Checks of a dataset before training: files, labels, cameras, poses and their agreement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from imavatar_deploy.dataset import images
from imavatar_deploy.dataset.images import DECODE_FLAGS
from imavatar_deploy.dataset.video import TRACK_FILE, Video, find_videos, join_tracks, load_head
from imavatar_deploy.errors import ImavatarError, InputError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.progress import Progress, silent

from .camera_checks import SYSTEMATIC_KINDS, check_cameras
from .consistency import check_fit
from .findings import ERROR, WARNING, Finding
from .frame_summary import FrameSummary, HeadVertexProjector, summarise_frame
from .report import Inspection, VideoReport

# Files: frames listed twice, unlisted images, labels of some videos only


def check_files(video: Video) -> list[Finding]:
    """Findings about the names of a video's frames.

    Missing and unreadable files are reported when they are decoded.
    """
    return [*_listed_twice(video), *_not_listed(video)]


def check_labels(videos: Sequence[Video]) -> list[Finding]:
    """A finding where some videos have labels and others have none."""
    without = [video for video in videos if not video.has("semantic")]
    if not without or len(without) == len(videos):
        return []
    return [
        Finding(
            WARNING,
            "labels",
            f"{without[0].folder / 'semantic'} is missing while other videos have labels: no "
            "labels are used",
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
            f"{video.folder / 'image'} holds {count} that {TRACK_FILE} does not list: not tracked, "
            "and not used",
        )
    ]


# All checks of a dataset


def check(
    paths: Sequence[Path],
    *,
    size: int = 256,
    videos: Sequence[str] = (),
    head_model: Path | str | None = None,
    edition: str | None = None,
    progress: Progress = silent,
) -> list[Finding]:
    """Check the videos in `paths` and return the findings, none for a sound dataset.

    Args:
        paths: video folders, or folders of the videos of a subject.
        size: side in pixels at which frames are compared.
        videos: names of the videos to check; all when empty.
        head_model: head model of the tracking; needed unless the videos name `openhead`.
        edition: edition of that head model, where its file does not name it.
        progress: receives the number of checked frames.

    Raises:
        UsageError: a video is unknown, or the size is out of range.
    """
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
    """Check the videos in `paths` like `check`, and describe each video.

    Raises:
        UsageError: a video is unknown, or the size is out of range.
    """
    images.check_target(size)
    try:
        folders = find_videos([Path(path) for path in paths], videos)
    except InputError as error:
        return Inspection([Finding(ERROR, "layout", str(error))], [])
    findings: list[Finding] = []
    readable = [video for folder in folders if (video := _read(folder, findings)) is not None]
    findings += check_labels(readable)
    head = _head(readable, head_model, edition, findings)
    points = HeadVertexProjector(head) if head else None
    reports = []
    with progress("checking frames", sum(map(len, readable))) as advance:
        for video in readable:
            findings += check_files(video)
            summaries = []
            for summary in _summaries(video, size, points, findings):
                advance(1)
                summaries += [summary] if summary is not None else []
            findings += _contradictions(video, summaries)
            reports.append(VideoReport.of(video, summaries))
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
    """The head model for comparisons with the masks, or None and a finding."""
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


def _contradictions(video: Video, summaries: Sequence[FrameSummary]) -> list[Finding]:
    """Findings about cameras and poses, and about single frames unless all frames are in doubt."""
    findings = check_cameras(video, summaries)
    if any(finding.kind in SYSTEMATIC_KINDS for finding in findings):
        return findings
    return [*findings, *check_fit(video, summaries)]


def _summaries(
    video: Video, size: int, points: HeadVertexProjector | None, findings: list[Finding]
) -> Iterator[FrameSummary | None]:
    """A summary of each frame; None and a finding where a picture cannot be read."""
    kinds = [kind for kind in DECODE_FLAGS if kind in ("image", "mask") or video.has(kind)]
    for frame in range(len(video)):
        try:
            pixels = images.load({kind: video.file(kind, frame) for kind in kinds}, size)
        except InputError as error:
            findings.append(Finding(ERROR, "picture", str(error)))
            yield None
            continue
        projection = points.project(video.track.frame(frame)) if points else None
        yield summarise_frame(frame, pixels, projection, video.keypoints[frame])
