"""The 3D truth of a synthetic set: the drawn surfaces with all of their motion, in `subject.npz`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError
from imavatar_deploy.plain_npz import read_npz

from ..subject import Subject
from .actor import Actor, openhead

SUBJECT_FILE = "subject.npz"

HALVED = ("expression", "pose")
"""Stored in half precision, to which `actor.halved` has rounded them before anything was drawn."""
EXACT = ("rest", "faces", "parts", "weights", "colour", "flush")


def write_ground_truth(actor: Actor, shape: NDArray[np.float32], path: Path) -> None:
    """Write an actor's surfaces, labels and shape coefficients."""
    subject = actor.subject
    arrays: dict[str, Any] = {name: getattr(subject, name) for name in EXACT}
    arrays["faces"] = subject.faces.astype(np.int32)
    arrays["parts"] = subject.parts.astype(np.uint8)
    arrays |= {name: getattr(subject, name).astype(np.float16) for name in HALVED}
    np.savez_compressed(path, labels=actor.labels, shape=shape, **arrays)


def load_actor(folder: Path) -> Actor:
    """The actor of a synthetic set, as it was drawn.

    Raises:
        InputError: the folder has no ground truth, or it cannot be read.
    """
    path = Path(folder) / SUBJECT_FILE
    if not path.is_file():
        raise InputError(f"{folder} has no {SUBJECT_FILE}: expected a set that `imavatar-data synth` wrote")
    try:
        names = (*EXACT, *HALVED, "labels", "shape")
        stored = read_npz(path, names)
        arrays = {name: stored[name] for name in names}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not a readable ground truth ({error}); make the set again") from error
    labels, shape = arrays.pop("labels"), arrays.pop("shape")
    arrays |= {name: arrays[name].astype(np.float32) for name in HALVED}
    arrays |= {name: arrays[name].astype(np.int64) for name in ("faces", "parts")}
    importance = np.ones(len(labels), dtype=np.float32)
    return Actor(Subject(head=openhead().for_subject(shape), importance=importance, **arrays), labels)


def load_ground_truth(folder: Path) -> Subject:
    """The surfaces of a synthetic set; `.posed(expression, pose)` gives the mesh of any frame, in model units.

    Raises:
        InputError: the folder has no ground truth, or it cannot be read.
    """
    return load_actor(folder).subject
