"""Retargeting: one vocabulary of faces (ARKit's 52 shapes, a head model's expressions) put into another's words.

A driver's own resting face is taken away by whoever feeds it: paired samples are fitted with both sides' neutral
subtracted, and a live stream's is subtracted after retargeting (a map is linear, so before or after is the same).
"""

from __future__ import annotations

from imavatar_deploy.deprecation import renamed

from .arkit import ARKIT_NAMES
from .expression_map import ExpressionMap, MapFit
from .map_files import read_map, write_map
from .retarget import Retarget
from .strategies import find_retarget

__all__ = [
    "ARKIT_NAMES",
    "ExpressionMap",
    "MapFit",
    "Retarget",
    "find_retarget",
    "read_map",
    "write_map",
]

__getattr__ = renamed(__name__, {"Fit": ("MapFit", MapFit)})
