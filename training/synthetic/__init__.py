"""Synthetic videos (the paper's MakeHuman experiment) from CC0 parts: four people, with everything about them known."""

from __future__ import annotations

from .motions import SETS
from .people import SUBJECTS
from .synthesise import load_ground_truth, synthesise

__all__ = ["SETS", "SUBJECTS", "load_ground_truth", "synthesise"]
