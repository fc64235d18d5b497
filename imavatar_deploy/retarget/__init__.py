"""Retargeting: one vocabulary of faces (ARKit's 52 shapes, a head model's expressions) put into another's words.

A driver's own resting face is taken away by whoever feeds it: paired samples are fitted with both sides' neutral
subtracted, and a live stream's is subtracted after retargeting (a map is linear, so before or after is the same).
"""

from __future__ import annotations

from .expression_map import ExpressionMap, Fit
from .map_files import read_map, write_map
from .retarget import Retarget
from .strategies import find_retarget

__all__ = ["ExpressionMap", "Fit", "Retarget", "find_retarget", "read_map", "write_map"]
