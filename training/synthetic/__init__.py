"""Synthetic videos of four people with complete ground truth, made from CC0 parts.

They take the place of the paper's MakeHuman subjects.
"""

from __future__ import annotations

from .motions import SETS
from .people import SUBJECTS
from .synthesise import load_ground_truth, synthesise

__all__ = ["SETS", "SUBJECTS", "load_ground_truth", "synthesise"]
