"""The person in the bundled sample: OpenHead with a face of its own, hair, a shirt and colours."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.head_model import HeadModel

from .complexion import painted
from .styling import dressed
from .subject import Subject

IDENTITY_SEED, IDENTITY_STRENGTH = 6, 0.8
"""A face drawn from OpenHead's identity space, milder than the average draw."""
IDENTITY_SIZE = 30
"""OpenHead's shape directions that are real identities; the others are zero."""


def sample_subject(head: HeadModel, *, subdivisions: int = 3) -> Subject:
    """The sample's person on `head`, which must be OpenHead without a shape of its own."""
    shape = IDENTITY_STRENGTH * np.random.default_rng(IDENTITY_SEED).normal(size=IDENTITY_SIZE)
    anchors = Subject.from_head(head, subdivisions=subdivisions).rest
    person = Subject.from_head(head.for_subject(shape.astype(np.float32)), subdivisions=subdivisions)
    return painted(dressed(person, anchors), anchors)
