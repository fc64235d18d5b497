"""Semantic labels of a face image: which ids mean what, and the rules that training draws from them."""

from __future__ import annotations

import torch
from torch import Tensor

from .dataset.labels import LABELS


def _ids(*names: str) -> tuple[int, ...]:
    return tuple(LABELS.index(name) for name in names)


SKIN = _ids("skin", "left ear", "right ear", "nose", "neck")
"""Where the surface should lie on the head model."""
MOUTH = _ids("mouth interior", "glasses")
"""The head model has neither."""
HAIR = _ids("hair", "earring")
"""What follows the head."""
CLOTH = _ids("cloth", "necklace")
"""What stays with the ghost bone."""

FEATURES = _ids(
    "left brow", "right brow", "left eye", "right eye", "mouth interior", "upper lip", "lower lip"
)
"""Small and looked at most."""


def labelled(semantic: Tensor | None, ids: tuple[int, ...], like: Tensor) -> Tensor:
    """[N] bool: the pixels whose label is among `ids`; none of them without labels.

    Args:
        semantic: `[N]` label ids, or None.
        like: a tensor of N rows, for count and device.
    """
    if semantic is None:
        return torch.zeros(len(like), dtype=torch.bool, device=like.device)
    return torch.isin(semantic, torch.tensor(ids, device=semantic.device))
