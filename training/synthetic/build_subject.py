"""Actor: a synthetic subject as it is drawn, with the semantic label of every vertex."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import read_only
from imavatar_deploy.errors import unknown_name
from imavatar_deploy.head_model import HeadModel

from ..warm_start.head_surface import HeadSurface
from .accessories import wearing
from .hair_and_clothes import dressed
from .labels import vertex_labels
from .mouth import dimmed
from .people import SUBJECTS, Person
from .personal_expressions import mannered, uneven
from .skin_and_hair_colours import painted

SUBDIVISIONS = 2
"""Edges of a pixel's size at 256 x 256."""


@dataclass(frozen=True)
class SyntheticSubject:
    """A person ready to be drawn."""

    subject: HeadSurface
    labels: NDArray[np.uint8]  # [V]


@lru_cache(maxsize=1)
def openhead() -> HeadModel:
    """Load OpenHead with the mean shape, once in a process; its arrays are read-only."""
    return read_only(HeadModel.load("openhead"))


@lru_cache(maxsize=8)
def actor(name: str, subdivisions: int = SUBDIVISIONS) -> SyntheticSubject:
    """Return the subject of that name, built once in a process; its arrays are read-only.

    Raises:
        UsageError: there is no such subject.
    """
    if name not in SUBJECTS:
        raise unknown_name("subject", name, SUBJECTS)
    return read_only(build(SUBJECTS[name], subdivisions))


def build(person: Person, subdivisions: int) -> SyntheticSubject:
    """Shape, dress, disturb and paint OpenHead."""
    head, looks = openhead(), person.looks
    anchors = HeadSurface.from_head(head, subdivisions=subdivisions).rest
    bare = HeadSurface.from_head(head.for_subject(person.shape), subdivisions=subdivisions)
    own = uneven(dressed(bare, anchors, looks.haircut), anchors, person.manner_seed)
    subject = dimmed(
        painted(mannered(own, person.manner_seed, person.accents), anchors, looks), anchors
    )
    subject, labels = wearing(
        subject, anchors, vertex_labels(subject, anchors, looks), looks, person.pieces
    )
    return SyntheticSubject(halved(subject), labels)


def halved(subject: HeadSurface) -> HeadSurface:
    """The subject with its motion rounded to half precision, as it is stored: what is drawn is what is written."""
    return replace(
        subject,
        expression=subject.expression.astype(np.float16).astype(np.float32),
        pose=subject.pose.astype(np.float16).astype(np.float32),
    )
