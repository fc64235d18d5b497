"""The videos on their way to a dataset: looked at, cut, read frame by frame, and judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Int64, UInt8
from imavatar_deploy.errors import InputError
from imavatar_deploy.progress import Progress, Say
from imavatar_deploy.video.decode import DecodedFrame, VideoReader
from imavatar_deploy.vision import FaceDetector, FaceTracker, LandmarkNetwork, PersonMask

from .crop import Crop, FocalLength, choose_crops, crop_notes, focal_length
from .landmark_files import read_landmarks
from .masks import MatteNetwork, ParserNetwork, PictureFolder
from .prepare import MaskOf, frame_rate, prepare
from .prepared_video import PreparedVideo
from .quality import judge
from .result import DroppedFrame
from .settings import MIN_FRAMES, TrackSettings
from .survey import Survey, survey
from .work_folder import WorkFolder

FRAMES_ADVICE = (
    f"expected at least {MIN_FRAMES}, better some hundred; film 20 seconds in which the head turns "
    "and the person talks"
)


class Networks:
    """The networks of a tracking, opened when they are first used."""

    def __init__(self, settings: TrackSettings) -> None:
        self._settings = settings

    @cached_property
    def tracker(self) -> FaceTracker:
        """Follows the face."""
        return FaceTracker(irises=True)

    @cached_property
    def detector(self) -> FaceDetector:
        """Finds further faces."""
        return FaceDetector()

    @cached_property
    def landmarks(self) -> LandmarkNetwork:
        """Reads landmarks again, to see whether they are steady."""
        return LandmarkNetwork()

    @cached_property
    def person(self) -> PersonMask | MatteNetwork:
        """Computes the mask of the person; the user's network where there is one."""
        return PersonMask() if self._settings.matte is None else MatteNetwork(self._settings.matte)

    @cached_property
    def parser(self) -> ParserNetwork | None:
        """Computes labels; the user's network, or None."""
        return None if self._settings.parser is None else ParserNetwork(self._settings.parser)

    def check(self) -> None:
        """Run the user's networks once, so that they are refused before the work.

        Raises:
            InputError: a file is no graph, or its result is of another shape.
        """
        grey = np.full((64, 64, 3), 127, dtype=np.uint8)
        if self._settings.matte is not None:
            self.person.mask(grey)
        if self.parser is not None:
            self.parser.labels(grey)


@dataclass(eq=False)
class Clip:
    """A video whose frames are read."""

    name: str
    """Name of the file."""
    target: Path
    """Folder of its finished dataset in the work folder."""
    work: Path
    """Folder of its frames in the work folder."""
    survey: Survey
    focal: FocalLength
    crop: Crop
    fps: float
    prepared: PreparedVideo
    kept: Int64[Array, " T"]
    """Indices of the frames of `prepared` that are kept."""
    dropped: list[DroppedFrame]
    notes: list[str]

    def landmarks(self) -> Float32[Array, "T L 3"]:
        """Landmarks of the frames that are kept."""
        return np.asarray(self.prepared.landmarks[self.kept])

    def drop(self, frames: Sequence[int], reason: str) -> None:
        """Leave out some of the frames that are kept, by their indices in `kept`."""
        for index in frames:
            at = self.kept[index]
            source = int(self.prepared.source_frames[at])
            self.dropped.append(DroppedFrame(source, float(self.prepared.times[at]), reason))
        self.kept = np.delete(self.kept, np.asarray(frames, dtype=np.int64))
        self.dropped.sort(key=lambda frame: frame.index)

    def require_frames(self) -> None:
        """Refuse a video with too few usable frames.

        Raises:
            InputError: it has fewer than MIN_FRAMES.
        """
        count = len(self.kept)
        if count >= MIN_FRAMES:
            return
        reasons = Counter(frame.reason for frame in self.dropped)
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        without = f" (of the others: {listed})" if listed else ""
        raise InputError(
            f"{self.name} has {count} {'frame' if count == 1 else 'frames'} with a usable face"
            f"{without}: {FRAMES_ADVICE}"
        )


def open_clips(
    videos: Sequence[Path],
    settings: TrackSettings,
    work: WorkFolder,
    networks: Networks,
    progress: Progress,
    say: Say,
) -> list[Clip]:
    """Read all videos, continuing earlier work.

    Raises:
        InputError: a video cannot be read or shows too little of a face.
    """
    landmarks = None if settings.landmarks is None else read_landmarks(settings.landmarks)
    with ExitStack() as stack:
        readers = [stack.enter_context(VideoReader(video)) for video in videos]
        for reader in readers:
            for note in reader.info.notes:
                say(f"note: {note}")
        focals = [focal_length(reader, settings.focal) for reader in readers]
        surveys = [
            _survey(reader, index, work, networks, landmarks, progress)
            for index, reader in enumerate(readers)
        ]
        for folder in (settings.masks, settings.labels):
            if folder is not None:
                PictureFolder(folder, surveys[0].frames)
        crops = choose_crops(surveys, focals, settings.size)
        names = folder_names(videos)
        clips = []
        for index, reader in enumerate(readers):
            notes = [
                *reader.info.notes,
                focals[index].note,
                *crop_notes(crops[index], surveys[index], reader.path.name),
            ]
            for note in notes[len(reader.info.notes) :]:
                say(f"note: {note}")
            fps = frame_rate(
                reader.info.fps,
                surveys[index].duration,
                fps=settings.fps,
                frames=settings.frames,
            )
            prepared = prepare(
                reader,
                crops[index],
                work.video(index),
                fps=fps,
                tracker=networks.tracker,
                detector=networks.detector,
                network=networks.landmarks,
                mask_of=_mask_source(settings, crops[index], surveys[index].frames, networks),
                landmarks=landmarks,
                progress=progress,
            )
            clip = Clip(
                name=reader.path.name,
                target=work.dataset / names[index],
                work=work.video(index),
                survey=surveys[index],
                focal=focals[index],
                crop=crops[index],
                fps=fps,
                prepared=prepared,
                kept=np.arange(len(prepared)),
                dropped=list(prepared.dropped),
                notes=notes,
            )
            _judge(clip)
            clips.append(clip)
    return clips


def folder_names(videos: Sequence[Path]) -> list[str]:
    """Name of the folder of each video; empty for a single one, which is the dataset itself."""
    if len(videos) == 1:
        return [""]
    names: list[str] = []
    for video in videos:
        stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in video.stem) or "video"
        name, count = stem, 1
        while name in names:
            count += 1
            name = f"{stem}_{count}"
        names.append(name)
    return names


def _survey(
    reader: VideoReader,
    index: int,
    work: WorkFolder,
    networks: Networks,
    landmarks: Float32[Array, "T L D"] | None,
    progress: Progress,
) -> Survey:
    """The first look at a video, from the work folder where it is known."""
    stored = work.value(f"survey_{index}")
    if stored is not None:
        return Survey.of_dict(stored)
    look = survey(
        reader, networks.tracker, networks.detector, landmarks=landmarks, progress=progress
    )
    if look.frames < MIN_FRAMES:
        raise InputError(f"{reader.path} has only {look.frames} frames: {FRAMES_ADVICE}")
    if landmarks is not None and len(landmarks) != look.frames:
        raise InputError(
            f"the landmarks are of {len(landmarks)} frames and {reader.path.name} has "
            f"{look.frames}: expected one row for every frame"
        )
    work.store(f"survey_{index}", look.as_dict())
    return look


def _mask_source(settings: TrackSettings, crop: Crop, frames: int, networks: Networks) -> MaskOf:
    if settings.masks is None:
        return lambda frame, image: networks.person.mask(image)
    folder = PictureFolder(settings.masks, frames)

    def ready(frame: DecodedFrame, image: UInt8[Array, "S S 3"]) -> Float32[Array, "S S"]:
        picture = folder.read(frame.index, crop.width, crop.height)
        return np.asarray(crop.apply(picture) / np.float32(255))

    return ready


def _judge(clip: Clip) -> None:
    prepared = clip.prepared
    if not len(prepared):
        clip.require_frames()
    reasons = judge(
        landmarks=prepared.landmarks,
        confidences=prepared.confidences,
        sharpness=prepared.sharpness,
        patches=prepared.patches,
        second_faces=prepared.second_faces,
        unsteadiness=prepared.unsteadiness,
    )
    for reason in sorted(set(reasons) - {""}):
        at = [i for i, index in enumerate(clip.kept) if reasons[index] == reason]
        clip.drop(at, reason)
    clip.require_frames()
