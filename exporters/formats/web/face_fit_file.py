"""The file of the head model that the page of the web format fits to a camera's landmarks.

`viewer/source/landmark_model.ts` reads it: a length (uint32), JSON with the name, the count and the
step of every array, and their numbers one after the other, all little-endian. Numbers are 16-bit
multiples of the step, or of 32 bits in floating point where the step is 0.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float64
from imavatar_deploy.head_fit.correspondences import landmark_points
from imavatar_deploy.head_fit.frame_fit import SINGLE_FRAME_FACTORS, FitSettings
from imavatar_deploy.head_fit.landmark_model import EXPRESSION, LandmarkModel
from imavatar_deploy.head_fit.terms import FramePriors, base_weights, spread_weights
from imavatar_deploy.head_model import OPENHEAD, HeadModel

ROUNDED = ("expression_basis", "pose_basis", "spread")
"""Large arrays of small numbers, stored in 16 bits. Their steps are some micrometres at most."""

LARGEST = np.iinfo(np.int16).max


def face_fit_file() -> bytes:
    """Return the mean head of OpenHead at its landmarks, with the weights of `FrameFitter`."""
    parts = {name: _encoded(name, values) for name, values in _arrays().items()}
    entries = [
        {"name": name, "count": len(numbers), "step": step}
        for name, (numbers, step) in parts.items()
    ]
    header = json.dumps(entries, separators=(",", ":")).encode()
    payload = b"".join(numbers.tobytes() for numbers, _ in parts.values())
    return len(header).to_bytes(4, "little") + header + payload


def _encoded(name: str, values: Float64[Array, "..."]) -> tuple[Any, float]:
    """Return the numbers of an array as they are stored, and their step."""
    flat = values.ravel()
    if name not in ROUNDED:
        return flat.astype("<f4"), 0.0
    step = float(np.abs(flat).max()) / LARGEST
    return np.rint(flat / step).astype("<i2"), step


def _arrays() -> dict[str, Float64[Array, "..."]]:
    head = HeadModel.load(OPENHEAD)
    points = landmark_points(head)
    model = LandmarkModel.of(head, points)
    priors = FramePriors.of(head, expression=FitSettings.expression)
    weight = priors.weight.copy()
    weight[EXPRESSION] *= [SINGLE_FRAME_FACTORS.get(name, 1.0) for name in head.expression_names]
    count = len(model)
    return {
        "template": model.template,
        "expression_basis": model.expression_basis,
        "pose_basis": model.pose_basis,
        "weights": model.weights,
        "spread": model.spread,
        "normals": model.normals,
        "joints": model.joints,
        "joints_by_expression": model.joints_by_expression,
        "offsets": model.offsets,
        "landmark_weights": base_weights(count) * spread_weights(points, count),
        "prior_weight": weight,
        "prior_low": priors.low,
        "prior_high": priors.high,
        "eyes_apart": priors.apart,
    }
