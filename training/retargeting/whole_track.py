"""A whole track in another head model's codes, by a map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget import find_retarget, read_map
from imavatar_deploy.tracks import FlameTrack


def retargeted(track: FlameTrack, map_file: str) -> FlameTrack:
    """Every frame through a map of codes (`imavatar-data fit-map --codes`); the shape, which no map knows, is left out.

    Raises:
        InputError: the map cannot be read, is made for another head model, or does not say for which.
    """
    target = read_map(map_file).target
    if target is None:
        raise InputError(f"{map_file} does not say for which head model it is; make one with imavatar-data fit-map")
    retarget = find_retarget(track.edition, target, (), map_file=map_file)
    expression, pose = zip(*map(retarget, track.expression, track.pose), strict=True)
    nobody = np.zeros(0, dtype=np.float32)
    return replace(track, expression=np.stack(expression), pose=np.stack(pose), edition=target, shape=nobody)
