"""Retargeting: face parameters of one vocabulary converted to those of another.

A vocabulary is ARKit's 52 shapes or the expressions of a head model. The neutral face of the driver
is subtracted elsewhere: pairs of samples are fitted with the neutral of both sides subtracted, and
a live stream's is subtracted after retargeting. A map is linear, so the order does not matter.
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
