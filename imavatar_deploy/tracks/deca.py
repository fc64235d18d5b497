"""DECA's code dictionaries, and EMOCA's folders.

`exp [50]`, `pose [6]` (global, jaw), `shape [100]`, `cam [3]`: what `deca.encode` returns. EMOCA's demos write one
folder a frame with `exp.npy`, `pose.npy` and `shape.npy`, which is the same spelling.
"""

from __future__ import annotations

from imavatar_deploy.tracks.codes import Spelling, codes_format

FORMAT = codes_format(
    "deca",
    "DECA's codes: exp, pose, shape (EMOCA's folders, too)",
    Spelling("exp", "pose", "shape"),
)
