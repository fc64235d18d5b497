"""Builds synthetic subjects: OpenHead with a person's shape, hair, clothes, colours and labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from imavatar_deploy.arrays import Array, UInt8, read_only
from imavatar_deploy.errors import unknown_name
from imavatar_deploy.head_model import HeadModel

from ..warm_start.head_surface import HeadSurface
from .accessories import with_accessories
from .hair_and_clothes import with_hair_and_clothes
from .labels import vertex_labels
from .mouth import with_shaded_mouth
from .people import SUBJECTS, Person
from .personal_expressions import with_asymmetry, with_personal_expressions
from .skin_and_hair_colours import with_colours

SUBDIVISIONS = 2
"""Loop subdivisions of OpenHead's mesh; two make edges of a pixel's size at 256 x 256."""


@dataclass(frozen=True)
class SyntheticSubject:
    """The surface of a person and the semantic label of every vertex."""

    surface: HeadSurface
    labels: UInt8[Array, " V"]  # values of `labels.LABELS`


@lru_cache(maxsize=1)
def openhead() -> HeadModel:
    """Load OpenHead with the mean shape, once a process; its arrays are read-only."""
    return read_only(HeadModel.load("openhead"))


@lru_cache(maxsize=8)
def build_subject(name: str, subdivisions: int = SUBDIVISIONS) -> SyntheticSubject:
    """Return the subject of a name, built once a process; its arrays are read-only.

    Args:
        name: a key of `SUBJECTS`.
        subdivisions: how fine the surface is; each step quadruples the faces.

    Raises:
        UsageError: there is no such subject.
    """
    if name not in SUBJECTS:
        raise unknown_name("subject", name, SUBJECTS)
    return read_only(_build(SUBJECTS[name], subdivisions))


def _build(person: Person, subdivisions: int) -> SyntheticSubject:
    head = openhead()
    appearance = person.appearance
    seed = person.variation_seed
    anchors = HeadSurface.from_head(head, subdivisions=subdivisions).rest
    surface = HeadSurface.from_head(head.for_subject(person.shape), subdivisions=subdivisions)
    surface = with_hair_and_clothes(surface, anchors, appearance.haircut)
    surface = with_asymmetry(surface, anchors, seed)
    surface = with_personal_expressions(surface, seed, person.expression_factors)
    surface = with_colours(surface, anchors, appearance)
    surface = with_shaded_mouth(surface, anchors)
    labels = vertex_labels(surface, anchors, appearance)
    surface, labels = with_accessories(surface, anchors, labels, appearance, person.accessories)
    return SyntheticSubject(in_half_precision(surface), labels)


def in_half_precision(subject: HeadSurface) -> HeadSurface:
    """Round the motion to half precision, in which it is stored, so that frames match the file."""
    return replace(
        subject,
        expression=subject.expression.astype(np.float16).astype(np.float32),
        pose=subject.pose.astype(np.float16).astype(np.float32),
    )
