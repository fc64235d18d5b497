"""RefinableStudent: the weights and features of a student as torch parameters."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.student import Student

from ..student.training_set import at_points
from .raster_frames import PixelBatch, RasterFrames

WEIGHTS = (
    "normal_weight",
    "condition_weight",
    "condition_bias",
    "hidden_weight",
    "hidden_bias",
    "colour_weight",
    "colour_bias",
)
"""Arrays of a student besides its features."""


class RefinableStudent(nn.Module):
    """A trained student whose arrays are parameters; the formula is in `imavatar_deploy.student`.

    Unlike `LearningStudent` it begins at a student, and has no bottleneck before the condition.
    """

    features: nn.Parameter  # [V, H]
    normal_weight: nn.Parameter  # [3, H]
    condition_weight: nn.Parameter  # [53, H]
    condition_bias: nn.Parameter  # [H]
    hidden_weight: nn.Parameter  # [H, H]
    hidden_bias: nn.Parameter  # [H]
    colour_weight: nn.Parameter  # [H, 3]
    colour_bias: nn.Parameter  # [3]

    def __init__(self, student: Student) -> None:
        super().__init__()
        for name, array in student.arrays().items():
            self.register_parameter(name, nn.Parameter(torch.from_numpy(array.copy())))

    def constant(self, condition: Tensor) -> Tensor:
        """Return the contribution `[T, H]` of conditions `[T, 53]` to the first layer."""
        return condition @ self.condition_weight + self.condition_bias

    def forward(self, pixels: PixelBatch, constant: Tensor) -> Tensor:
        """Return the colours `[N, 3]` of N pixels.

        Args:
            pixels: the pixels.
            constant: `[N, H]` or `[1, H]` of their frames, see `constant`.
        """
        features = at_points(self.features, pixels.corners, pixels.weights)
        first = torch.relu(features + pixels.normals @ self.normal_weight + constant)
        second = torch.relu(first @ self.hidden_weight + self.hidden_bias)
        return torch.sigmoid(second @ self.colour_weight + self.colour_bias)

    def to_student(self) -> Student:
        """Return the student of these weights, its features rounded as they are stored."""
        arrays = {name: value.detach().numpy().copy() for name, value in self.named_parameters()}
        arrays["features"] = arrays["features"].astype(np.float16).astype(np.float32)
        return Student(**arrays)


def frame_colours(student: RefinableStudent, frames: RasterFrames, t: int) -> Float32[Array, "N 3"]:
    """Return the colours of the pixels of frame t, in the order of `frames.rows(t)`."""
    rows = frames.rows(t)
    batch = frames.batch(rows, np.full(len(rows), t))
    condition = torch.from_numpy(frames.condition[t : t + 1])
    with torch.inference_mode():
        return np.asarray(student(batch, student.constant(condition)).numpy())
