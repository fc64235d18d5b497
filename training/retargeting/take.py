"""A take: one performance as one tracker saw it, in that tracker's words, with the time of every frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget.controls import FACE_POSE
from imavatar_deploy.tracks import read_track

from .live_link_csv import read_live_link

Double = NDArray[np.float64]


@dataclass(frozen=True)
class Take:
    """T frames of one vocabulary's inputs (see `controls.INPUTS`)."""

    vocabulary: str
    times: Double  # [T] seconds, ascending
    values: Double  # [T, n]


def read_take(source: str | Path, edition: str | None = None) -> Take:
    """Read ARKit weights from a Live Link Face `.csv`, or codes from a track of any known format.

    Args:
        edition: the head model of a track that does not say.

    Raises:
        InputError: the file is absent, damaged or of no known format, or does not say its head model.
    """
    if Path(source).suffix.lower() == ".csv":
        return Take(*read_live_link(Path(source)))
    track = read_track(source)
    said = track.edition or edition
    if said is None:
        raise InputError(f"{source} does not say its head model; give it with --edition: {', '.join(EDITIONS)}")
    if edition not in (None, said):
        raise InputError(f"{source} says it is of {said}, and --edition says {edition}; leave --edition out")
    values = np.concatenate([track.expression, track.pose[:, FACE_POSE]], axis=1)
    return Take(said, np.arange(len(track)) / track.fps, values.astype(float))
