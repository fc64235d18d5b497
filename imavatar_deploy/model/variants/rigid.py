"""The rigid step of the backward baselines: a frame's points, with the head turned back to where it is canonically."""

from __future__ import annotations

from torch import Tensor

from imavatar_deploy.model.bones import Bones
from imavatar_deploy.model.frame import Frame

HEAD_BONE = "neck"
"""FLAME has no bone between neck and jaw: the neck carries the head."""


def undo_head(points: Tensor, bones: Bones, frame: Frame) -> Tensor:
    """Deformed points `[N, 3]` -> G_can G^-1 x of the head bone (IMavatar, supplementary, section 2.2).

    The step is the head's for every point: shoulders, which do not follow it, are left to the networks.
    """
    head = bones.row(HEAD_BONE)
    posed, canonical = bones(frame.expression, frame.pose)[head], bones.canonical_transforms[head]
    rest = (points - posed[:, 3]) @ posed[:, :3]  # a row times R is the inverse rotation of a column
    placed: Tensor = rest @ canonical[:, :3].T + canonical[:, 3]
    return placed
