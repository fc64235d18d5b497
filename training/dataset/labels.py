"""The label ids of `semantic/`: those of the face parser the published data was labelled with (CelebAMask-HQ's)."""

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
"""Name of each id; its place is the id."""
