"""Pieces a synthetic subject wears: closed surfaces fixed to the head, which the head model knows nothing of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import BONES

from ..looks import Looks
from ..subject import Subject
from . import bob, bun, glasses
from .labels import LABELS
from .piece import Fitting, Piece

Float = NDArray[np.float32]

PIECES: dict[str, Callable[[Fitting, Looks], Piece]] = {"bob": bob.make, "bun": bun.make, "glasses": glasses.make}
"""Every piece by name."""


def wearing(
    subject: Subject, anchors: Float, labels: NDArray[np.uint8], looks: Looks, names: tuple[str, ...]
) -> tuple[Subject, NDArray[np.uint8]]:
    """The subject with the named pieces as further parts, and the labels `[V]` of all of its vertices."""
    fitting = Fitting(subject.rest, anchors)
    for name in names:
        piece = PIECES[name](fitting, looks)
        subject = joined(subject, piece)
        labels = np.concatenate([labels, np.full(len(piece.vertices), LABELS[piece.label], dtype=np.uint8)])
    return subject, labels


def joined(subject: Subject, piece: Piece) -> Subject:
    """The subject with one more part, which moves with the head's bone alone."""
    count, size = len(piece.vertices), len(subject.rest)
    weights = np.zeros((count, subject.weights.shape[1]), dtype=np.float32)
    weights[:, weights.shape[1] - len(BONES) + BONES.index("neck")] = 1.0
    return replace(
        subject,
        rest=np.concatenate([subject.rest, piece.vertices]),
        faces=np.concatenate([subject.faces, piece.faces + size]),
        parts=np.concatenate([subject.parts, piece.parts + subject.parts.max() + 1]),
        expression=_extended(subject.expression, count),
        pose=_extended(subject.pose, count),
        weights=np.concatenate([subject.weights, weights]),
        colour=np.concatenate([subject.colour, piece.colour]),
        flush=_extended(subject.flush, count),
        importance=np.concatenate([subject.importance, np.ones(count, dtype=np.float32)]),
    )


def _extended(values: Float, count: int) -> Float:
    return np.concatenate([values, np.zeros((count, *values.shape[1:]), dtype=np.float32)])
