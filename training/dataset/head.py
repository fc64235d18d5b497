"""The head model that videos were tracked with."""

from __future__ import annotations

from pathlib import Path

from imavatar_deploy.errors import EditionMismatchError, InputError
from imavatar_deploy.head_files import OPENHEAD
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks.track import FlameTrack

from .video import TRACK_FILE, Video


def load_head(track: FlameTrack, video: Video, source: Path | str | None, edition: str | None) -> HeadModel:
    """The subject's head: `source`, or the bundled model where the videos say so; the shape is in its template.

    Raises:
        InputError: the head model is neither bundled nor given, or its file is broken.
        EditionMismatchError: the one given is another than the videos were tracked with.
    """
    said = track.edition
    if source is None and said != OPENHEAD:
        raise InputError(
            f"{video.folder / TRACK_FILE} was tracked with {said or 'a head model it does not name'}, which is not "
            "bundled: give its file with --head-model (FLAME's .pkl or .npz), and --edition"
        )
    head = HeadModel.load(source or OPENHEAD, edition=edition or (None if source == OPENHEAD else said))
    if said not in (None, head.edition):
        raise EditionMismatchError(
            f"{video.folder / TRACK_FILE} was tracked with {said} and {source} is {head.edition}: their codes mean "
            "different faces; give the head model it was tracked with"
        )
    return head.for_subject(track.shape)
