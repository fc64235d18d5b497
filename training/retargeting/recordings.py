"""Recordings of one tracker, from Live Link Face or a track; and retargeting of whole tracks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from imavatar_deploy.arrays import Array, Float64
from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import OPENHEAD
from imavatar_deploy.retarget import find_retarget, read_map
from imavatar_deploy.retarget.arkit import ARKIT
from imavatar_deploy.retarget.expression_map import FACE_POSE
from imavatar_deploy.retarget.strategies import SPARSE
from imavatar_deploy.tracks import FlameTrack, read_track
from imavatar_deploy.tracks.arkit_recordings import ArkitRecording, read_json, read_table
from imavatar_deploy.tracks.format import ForeignContentError
from imavatar_deploy.tracks.formats import with_path


@dataclass(frozen=True)
class Recording:
    """T frames of a vocabulary's inputs, in the order of `expression_map.INPUTS`."""

    vocabulary: str
    times: Float64[Array, " T"]  # seconds, ascending
    values: Float64[Array, "T N"]


def read_recording(source: str | Path, edition: str | None = None) -> Recording:
    """Read ARKit weights from a `.csv` or `.json`, or codes from a track of any known format.

    Args:
        source: a file, a folder, or the name of a bundled track.
        edition: the head model of a track whose format does not state it.

    Raises:
        InputError: the file is missing, damaged or of no known format, its head model is not known,
            or it is of another head model than `edition`.
    """
    if (weights := _arkit_weights(Path(source))) is not None:
        return Recording(ARKIT, weights.times, weights.weights)
    track = read_track(source)
    head_model = track.edition or edition
    if head_model is None:
        raise InputError(
            f"{source} does not say its head model; give it with --edition: {', '.join(EDITIONS)}"
        )
    if edition not in (None, head_model):
        raise InputError(
            f"{source} is a track of {head_model}, and --edition is {edition}; leave --edition out"
        )
    values = np.concatenate([track.expression, track.pose[:, FACE_POSE]], axis=1)
    return Recording(head_model, np.arange(len(track)) / track.fps, values.astype(float))


def _arkit_weights(path: Path) -> ArkitRecording | None:
    """Read a recording of ARKit's weights; None for a track of codes.

    Raises:
        InputError: it cannot be read.
    """
    readers = {".csv": read_table, ".json": read_json}
    suffix = path.suffix.lower()
    if suffix not in readers or (suffix == ".json" and not path.is_file()):
        return None
    try:
        return readers[suffix](path)
    except ForeignContentError:
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    except InputError as error:
        raise InputError(with_path(path, str(error))) from error


# Tracks in another head model's codes


def retarget_track(track: FlameTrack, map_file: str) -> FlameTrack:
    """Map every frame to the codes of another head model.

    The shape coefficients, which no map converts, are left out.

    Args:
        map_file: a map of codes, made by `imavatar-data fit-map --codes`, or the word `sparse`:
            head, neck, jaw and eyes alone, which every head model has.

    Raises:
        InputError: the map cannot be read, is made for another head model, or does not state its
            target.
    """
    target = OPENHEAD if map_file == SPARSE else read_map(map_file).target
    if target is None:
        raise InputError(
            f"{map_file} does not say for which head model it is; make one with "
            "imavatar-data fit-map"
        )
    retarget = find_retarget(track.edition, target, (), map_file=map_file)
    expression, pose = zip(*map(retarget, track.expression, track.pose), strict=True)
    notes = (*track.notes, retarget.note) if map_file == SPARSE else track.notes
    return replace(
        track,
        expression=np.stack(expression),
        pose=np.stack(pose),
        edition=target,
        shape=np.zeros(0, dtype=np.float32),
        notes=notes,
    )
