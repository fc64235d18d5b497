"""Synthetic videos (the paper's MakeHuman experiment) from CC0 parts: four people, with everything about them known."""

from __future__ import annotations

from .ground_truth import load_ground_truth
from .sets import SETS
from .subjects import SUBJECTS
from .synthesise import synthesise

__all__ = ["SETS", "SUBJECTS", "load_ground_truth", "synthesise"]
