"""Masks and labels of all frames of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, UInt8
from imavatar_deploy.dataset.labels import LABELS
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.progress import Progress
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.tracks import FlameTrack

from .clips import Clip, Networks
from .head_regions import DrawnHead, HeadDrawer
from .labels import ColourCounter, ColourModel, label_image
from .lookahead import in_order
from .masks import PictureFolder, clean_mask, steady_mask
from .prepared_video import write_png
from .settings import TrackSettings
from .write_dataset import link_or_copy

COLOUR_FRAMES = 40
"""Frames from which the colours of skin, hair and clothes are learnt."""

OPAQUE = 127
"""Value of a mask above which a pixel shows the person."""

THREADS = 2
"""Threads that label frames."""

KINDS = ("image", "mask", "semantic")
"""Folders of pictures, in the order in which those of a frame are written."""


def write_pictures(
    clip: Clip,
    track: FlameTrack,
    head: HeadModel,
    settings: TrackSettings,
    networks: Networks,
    progress: Progress,
) -> Float32[Array, " T"]:
    """Write `image/`, `mask/` and `semantic/` of a video; frames that are complete stay.

    Args:
        clip: the video.
        track: its fitted head.
        head: its head model, without the subject's shape.
        settings: settings of the tracking.
        networks: its networks.
        progress: shows the progress.

    Returns:
        The share of each picture that shows the person.

    Raises:
        InputError: a picture or network of the user does not fit.
        UsageError: a picture cannot be written.
    """
    for kind in KINDS:
        (clip.target / kind).mkdir(parents=True, exist_ok=True)
    with Workers(1) as workers, progress(f"labelling {clip.name}", len(track)) as advance:
        drawer = HeadDrawer(head, track.shape, settings.size, workers)
        frames = _Frames(clip, track, drawer, ready_masks=_has_own_masks(settings))
        labels_of = _label_source(clip, settings, networks, frames)

        def write(index: int) -> float:
            """Write the pictures of a frame and return the share that shows the person."""
            name = track.names[index]
            image, mask, semantic = (clip.target / kind / f"{name}.png" for kind in KINDS)
            soft, person = frames.mask(index)
            if not semantic.exists():
                link_or_copy(frames.image_path(index), image)
                write_png(mask, soft)
                labels = np.where(person, labels_of(index, person), 0)
                write_png(semantic, labels.astype(np.uint8))
            return float(person.mean())

        shares = np.zeros(len(track), dtype=np.float32)
        for index, share in enumerate(in_order(write, range(len(track)), threads=THREADS)):
            shares[index] = share
            advance(1)
    return shares


def _has_own_masks(settings: TrackSettings) -> bool:
    return settings.masks is not None or settings.matte is not None


class _Frames:
    """The frames of a clip that are kept, by their index in its track."""

    def __init__(
        self, clip: Clip, track: FlameTrack, drawer: HeadDrawer, *, ready_masks: bool
    ) -> None:
        self.clip = clip
        self._track = track
        self._drawer = drawer
        self._ready_masks = ready_masks
        self._drawing = Lock()

    def __len__(self) -> int:
        return len(self._track)

    def image_path(self, index: int) -> Path:
        """Path of the square picture."""
        prepared = self.clip.prepared
        return prepared.folder / "image" / f"{prepared.source_frames[self.clip.kept[index]]}.png"

    def image(self, index: int) -> UInt8[Array, "S S 3"]:
        """The square picture."""
        return self.clip.prepared.image(int(self.clip.kept[index]))

    def points(self, index: int) -> Float32[Array, "L D"]:
        """The landmarks."""
        return np.asarray(self.clip.prepared.landmarks[self.clip.kept[index]])

    def mask(self, index: int) -> tuple[UInt8[Array, "S S"], Bool[Array, "S S"]]:
        """The mask in 0..255 and the pixels that show the person; the user's own stay as they are.

        Raises:
            InputError: the user's own mask is empty.
        """
        at = int(self.clip.kept[index])
        if not self._ready_masks:
            return clean_mask(steady_mask(self.clip.prepared, at), self.points(index))
        soft = self.clip.prepared.mask(at)
        if not (soft > OPAQUE).any():
            raise InputError(
                f"the mask of frame {self.clip.prepared.source_frames[at]} of {self.clip.name} is "
                "empty: expected white where the person is"
            )
        return soft, soft > OPAQUE

    def head(self, index: int) -> DrawnHead:
        """The fitted head, drawn."""
        frame = self._track.frame(index)
        assert frame.camera is not None
        with self._drawing:  # the drawer has one set of buffers
            return self._drawer.draw(frame.expression, frame.pose, frame.camera)

    def colours(self) -> ColourModel:
        """Colours of skin, hair and clothes of the video."""
        counter = ColourCounter()
        chosen = np.linspace(0, len(self) - 1, min(COLOUR_FRAMES, len(self))).round().astype(int)
        for index in np.unique(chosen):
            index = int(index)
            _, person = self.mask(index)
            counter.add(self.image(index), person, self.points(index), self.head(index))
        return counter.model()


def _label_source(
    clip: Clip, settings: TrackSettings, networks: Networks, frames: _Frames
) -> Callable[[int, Bool[Array, "S S"]], UInt8[Array, "S S"]]:
    """Function that returns the labels of a frame, given the pixels that show the person.

    They are the user's own, or those of `labels`.
    """
    parser = networks.parser
    if parser is not None:
        return lambda index, person: parser.labels(frames.image(index))
    if settings.labels is not None:
        folder = PictureFolder(settings.labels, clip.survey.frames)
        return lambda index, person: _ready_labels(folder, clip, index)

    colours = frames.colours()

    def by_colour(index: int, person: Bool[Array, "S S"]) -> UInt8[Array, "S S"]:
        return label_image(
            frames.image(index), person, frames.points(index), frames.head(index), colours
        )

    return by_colour


def _ready_labels(folder: PictureFolder, clip: Clip, index: int) -> UInt8[Array, "S S"]:
    crop = clip.crop
    source = int(clip.prepared.source_frames[clip.kept[index]])
    picture = folder.read(source, crop.width, crop.height)
    if picture.max() >= len(LABELS):
        raise InputError(
            f"the labels of frame {source} of {clip.name} hold {picture.max()}: expected ids "
            f"0..{len(LABELS) - 1}; is it the coloured picture?"
        )
    return crop.apply_nearest(picture)
