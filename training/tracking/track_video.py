"""Tracking of videos: from the files to a dataset in the published layout.

decode -> crop -> prepare (landmarks, masks, quality) -> fit of all frames -> masks and labels ->
report. Everything is written into a hidden folder of the dataset and moved to its place at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.blas import single_threaded_blas
from imavatar_deploy.consent import Consent, record_consent
from imavatar_deploy.dataset.video import TRACK_FILE, find_videos
from imavatar_deploy.errors import EditionMismatchError, InputError, QualityError
from imavatar_deploy.head_fit import LANDMARKS, SequenceFit, Silhouettes, TorsoMotion
from imavatar_deploy.head_model import OPENHEAD, HeadModel
from imavatar_deploy.progress import Progress, Say, quiet, silent
from imavatar_deploy.tracks import FlameTrack, read_track
from imavatar_deploy.video.decode import VideoReader
from imavatar_deploy.vision.outline import OutlineCollector

from .advice_rules import NO_FIT_ERROR
from .clips import Clip, Networks, open_clips
from .fit_videos import (
    FitInput,
    KnownPerson,
    beside_occluded,
    fit_videos,
    initial_fit,
    load_fit,
    poorly_fitted,
    save_fit,
    select_frames,
)
from .label_frames import write_pictures
from .lookahead import in_order
from .masks import clean_mask, steady_mask
from .quality import OCCLUDED, relative_sharpness
from .result import ARRAYS_FILE, TrackResult
from .settings import TrackSettings, check_settings
from .summary import TrackSummary
from .torso import TorsoTracker
from .work_folder import WorkFolder
from .write_dataset import flame_track, publish, write_flame_params

POOR = "poor fit"
"""Reason to drop a frame whose landmarks no face of this person can have."""

REPORT_FILE = "report.html"
OVERLAY_FILE = "overlay.mp4"


@single_threaded_blas()
def track(
    videos: Sequence[str | Path],
    out: str | Path,
    settings: TrackSettings | None = None,
    *,
    consent: Consent | None = None,
    command: str = "",
    progress: Progress = silent,
    say: Say = quiet,
) -> tuple[TrackResult, ...]:
    """Track videos of one person and write a dataset in the published layout.

    Work is kept in a hidden folder in `out`; the same call after an interruption continues there.

    Args:
        videos: video files of one person by one camera.
        out: folder to write. One video is written into it, several into a folder each.
        settings: the defaults when left out.
        consent: written into the dataset.
        command: the command line, for the report.
        progress: shows the progress.
        say: receives notes.

    Returns:
        The result of each video.

    Raises:
        InputError: a video cannot be read or shows no face.
        UsageError: a setting is impossible, or `out` cannot be written.
        QualityError: the head of a video lies far beside its landmarks.

    After an `InputError` or a `QualityError` the hidden folder is removed: nothing is left of a
    video that cannot be used.
    """
    settings = settings or TrackSettings()
    paths = [Path(video) for video in videos]
    check_settings(paths, settings)
    head = HeadModel.load(settings.head_model or OPENHEAD, edition=settings.edition)
    person = None if settings.shape_from is None else read_person(settings.shape_from, head)
    initial = None if settings.init is None else _initial_track(settings.init, head)
    for path in paths:
        VideoReader(path).close()  # what cannot be read is refused before anything is written
    work = WorkFolder(out, paths, settings)
    if work.continued:
        say(f"continuing the interrupted work in {work.path}")
    try:
        if consent is not None:
            record_consent(work.dataset, consent)
        networks = Networks(settings)
        networks.check()
        clips = open_clips(paths, settings, work, networks, progress, say)
        fits = _fitted(clips, head, settings, person, initial, progress)
        results = [
            _written(clip, fit, head, clips[0].crop.intrinsics(), settings, networks, progress)
            for clip, fit in zip(clips, fits, strict=True)
        ]
        for result in results:
            require_fit(result, head)
    except (InputError, QualityError):
        work.discard()
        raise
    if settings.report:
        _report(results, head, settings, command, consent, progress)
    publish(work.dataset, work.out, work.path)
    return tuple(
        replace(result, folder=work.out / result.folder.relative_to(work.dataset))
        for result in results
    )


def require_fit(result: TrackResult, head: HeadModel) -> None:
    """Refuse a track whose head lies far beside the landmarks.

    Raises:
        QualityError: the mean error is larger than NO_FIT_ERROR.
    """
    summary = TrackSummary.of(result, head)
    error = summary.error_share
    if error > NO_FIT_ERROR:
        raise QualityError(
            f"the head does not fit {result.video}: it lies {100 * error:.0f} % of the distance of "
            f"the eyes beside the landmarks on average, more than {100 * NO_FIT_ERROR:.0f} %; "
            "check --focal, in pixels of the video's picture"
        )


def read_person(source: Path, head: HeadModel) -> KnownPerson:
    """Return the shape of the person in a dataset or a tracker's file.

    A dataset that `track_video` wrote also says where the person's landmarks lie.

    Raises:
        InputError: there are none.
        EditionMismatchError: they belong to another head model.
    """
    path = Path(source)
    offsets = None
    if path.is_dir() and any(path.rglob(TRACK_FILE)):
        folder = find_videos([path])[0]
        path = folder / TRACK_FILE
        if (folder / ARRAYS_FILE).is_file():
            offsets = TrackResult.load(folder).fit.offsets
    track = read_track(path)
    _check_edition(track, path, head)
    if not track.shape.any():
        raise InputError(f"{path} holds no shape of a person; track a video without --shape-from")
    return KnownPerson(track.shape[: head.shape_basis.shape[2]], offsets)


def _initial_track(source: Path, head: HeadModel) -> FlameTrack:
    track = read_track(source)
    _check_edition(track, source, head)
    return track


def _check_edition(track: FlameTrack, path: Path, head: HeadModel) -> None:
    if track.edition not in (None, head.edition):
        raise EditionMismatchError(
            f"{path} was tracked with {track.edition} and this fit uses {head.edition}, whose "
            "codes mean different faces: give its head model with --head-model"
        )


# The fit


def _fitted(
    clips: Sequence[Clip],
    head: HeadModel,
    settings: TrackSettings,
    person: KnownPerson | None,
    initial: FlameTrack | None,
    progress: Progress,
) -> list[SequenceFit]:
    """Fit all clips, and drop their frames that fit poorly."""
    intrinsics = clips[0].crop.intrinsics()
    stored = [load_fit(clip.work / "fit.npz", len(clip.kept)) for clip in clips]
    fits = [fit for fit in stored if fit is not None]
    if len(fits) < len(clips):
        inputs = [_fit_input(clip, head, intrinsics, settings, initial, progress) for clip in clips]
        fits = fit_videos(
            inputs,
            head,
            intrinsics,
            settings.size,
            person=person,
            irises=settings.landmarks is None,
            progress=progress,
        )
        for clip, fit in zip(clips, fits, strict=True):
            save_fit(fit, clip.work / "fit.npz")
    kept = []
    for clip, fit in zip(clips, fits, strict=True):
        poor = poorly_fitted(fit, settings.size)
        covered = beside_occluded(
            fit,
            clip.prepared.source_frames[clip.kept],
            np.array([f.index for f in clip.dropped if f.reason == OCCLUDED], dtype=np.int64),
            settings.size,
        )
        covered &= ~poor
        both = clip.kept
        clip.drop(np.flatnonzero(poor).tolist(), POOR)
        clip.drop(np.flatnonzero(np.isin(clip.kept, both[covered])).tolist(), OCCLUDED)
        clip.require_frames()
        kept.append(select_frames(fit, ~(poor | covered)))
    return kept


def _fit_input(
    clip: Clip,
    head: HeadModel,
    intrinsics: Float32[Array, "4"],
    settings: TrackSettings,
    initial: FlameTrack | None,
    progress: Progress,
) -> FitInput:
    start = None
    if initial is not None:
        start = initial_fit(
            initial,
            clip.prepared,
            clip.kept,
            clip.survey.frames,
            head,
            intrinsics,
            settings.size,
        )
    torso, silhouettes = _evidence(clip, progress)
    return FitInput(
        landmarks=clip.landmarks(),
        confidences=clip.prepared.confidences[clip.kept],
        times=clip.prepared.times[clip.kept],
        torso=torso,
        silhouettes=silhouettes,
        initial=start,
    )


def _evidence(clip: Clip, progress: Progress) -> tuple[TorsoMotion | None, Silhouettes | None]:
    """Motion of the shoulders and outline of the person; None where landmarks are only 68."""
    if clip.prepared.landmarks.shape[1] != LANDMARKS:
        return None, None
    torso = TorsoTracker()
    outlines = OutlineCollector()

    def read(at: int) -> tuple[UInt8[Array, "S S 3"], Float32[Array, "S S"]]:
        soft, _ = clean_mask(steady_mask(clip.prepared, at), clip.prepared.landmarks[at])
        return clip.prepared.image(at), soft.astype(np.float32) / np.float32(255)

    frames = [int(at) for at in clip.kept]
    with progress(f"outlines of {clip.name}", len(frames)) as advance:
        for at, (image, mask) in zip(frames, in_order(read, frames), strict=True):
            points = clip.prepared.landmarks[at]
            torso.add(image, mask, points)
            outlines.add(mask, points)
            advance(1)
    return torso.finish(), outlines.finish()


# The dataset


def _written(
    clip: Clip,
    fit: SequenceFit,
    head: HeadModel,
    intrinsics: Float32[Array, "4"],
    settings: TrackSettings,
    networks: Networks,
    progress: Progress,
) -> TrackResult:
    """Write the pictures, the track and the result of a clip."""
    clip.target.mkdir(parents=True, exist_ok=True)
    names = tuple(str(index + 1) for index in range(len(clip.kept)))
    track = flame_track(fit, intrinsics, fps=clip.fps, edition=head.edition, names=names)
    shares = write_pictures(clip, track, head, settings, networks, progress)
    write_flame_params(track, head, clip.target)
    prepared = clip.prepared
    result = TrackResult(
        folder=clip.target,
        video=clip.name,
        size=settings.size,
        fps=clip.fps,
        times=prepared.times[clip.kept],
        names=names,
        source_frames=prepared.source_frames[clip.kept],
        landmarks=clip.landmarks(),
        confidences=prepared.confidences[clip.kept],
        fit=fit,
        intrinsics=intrinsics,
        focal_source=clip.focal.source,
        dropped=tuple(clip.dropped),
        brightness=prepared.brightness[clip.kept],
        sharpness=relative_sharpness(prepared.sharpness[clip.kept]),
        mask_share=shares,
        notes=(*clip.notes, *fit.notes),
        edition=head.edition,
    )
    result.save()
    return result


def _report(
    results: Sequence[TrackResult],
    head: HeadModel,
    settings: TrackSettings,
    command: str,
    consent: Consent | None,
    progress: Progress,
) -> None:
    from .overlay import write_overlay
    from .report import write_report

    values: dict[str, Any] = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asdict(settings).items()
        if value is not None
    }
    for result in results:
        write_report(
            result,
            result.folder / REPORT_FILE,
            head=head,
            settings=values,
            command=command,
            consent="" if consent is None else consent.line(),
            progress=progress,
        )
        write_overlay(result, result.folder / OVERLAY_FILE, head=head, progress=progress)
