"""SMIRK's outputs.

`expression_params [50]`, `pose_params [3]`, `jaw_params [3]`, `eyelid_params [2]`, `shape_params [300]`, `cam [3]`.
"""

from __future__ import annotations

from imavatar_deploy.tracks.codes import Spelling, codes_format

FORMAT = codes_format(
    "smirk",
    "SMIRK's outputs: expression_params, pose_params, jaw_params",
    Spelling("expression_params", "pose_params", "shape_params", "jaw_params", "eyelid_params"),
)
