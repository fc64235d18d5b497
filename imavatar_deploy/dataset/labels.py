"""Names of the label ids in `semantic/`: those of CelebAMask-HQ's face parser, as published."""

from __future__ import annotations

LABELS = (
    "background",
    "skin",
    "left brow",
    "right brow",
    "left eye",
    "right eye",
    "glasses",
    "left ear",
    "right ear",
    "earring",
    "nose",
    "mouth interior",
    "upper lip",
    "lower lip",
    "neck",
    "necklace",
    "cloth",
    "hair",
    "hat",
)
"""Name of each label; its index is the id."""
