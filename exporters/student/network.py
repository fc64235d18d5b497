"""The student as torch modules: `LearningStudent` for training, `PlainStudent` for export."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from imavatar_deploy.model.texture import TextureNetwork
from imavatar_deploy.student import Student

from .training_set import at_points

FEATURE_DEVIATION = 0.1
"""Standard deviation of the initial features.

Features that start as a projection of the texture code reached 2 dB less in as many steps.
"""

WEIGHT_DEVIATION = 0.3
"""Standard deviation of the initial weights of the normal and the condition."""


class LearningStudent(nn.Module):
    """A student whose weights are trained.

    The condition passes the teacher's bottleneck first, whose B outputs are standardised.

    Args:
        network: the teacher.
        vertices: V, the number of vertices.
        width: H, the width of features and hidden layers.
        condition: `[T, 53]` conditions of the training samples, over which the bottleneck's
            outputs get mean zero and deviation one.
    """

    squeeze: Tensor  # [53, B]
    offset: Tensor  # [B]

    def __init__(
        self, network: TextureNetwork, vertices: int, width: int, condition: Tensor
    ) -> None:
        super().__init__()
        weight, bias = network.bottleneck.weight.detach().T, network.bottleneck.bias.detach()
        squeezed = condition @ weight + bias
        scale = 1 / squeezed.std(dim=0).clamp_min(1e-6)
        self.register_buffer("squeeze", weight * scale)
        self.register_buffer("offset", (bias - squeezed.mean(dim=0)) * scale)
        self.features = nn.Parameter(FEATURE_DEVIATION * torch.randn(vertices, width))
        self.normal = nn.Parameter(WEIGHT_DEVIATION * torch.randn(3, width))
        self.condition = nn.Parameter(WEIGHT_DEVIATION * torch.randn(weight.shape[1], width))
        self.hidden = nn.Parameter(math.sqrt(2 / width) * torch.randn(width, width))
        self.hidden_bias = nn.Parameter(torch.zeros(width))
        self.colour = nn.Parameter(math.sqrt(1 / width) * torch.randn(width, 3))
        self.colour_bias = nn.Parameter(torch.zeros(3))

    def forward(
        self, corners: Tensor, weights: Tensor, normals: Tensor, condition: Tensor
    ) -> Tensor:
        """Colours `[T, P, 3]` of T frames of P points, from fields of `StudentSamples`.

        Args:
            corners: `[T, P, 3]` vertices around the points.
            weights: `[T, P, 3]` barycentric coordinates.
            normals: `[T, P, 3]` unit normals of the deformed surface.
            condition: `[T, 53]` expression and jaw.
        """
        constant = (condition @ self.squeeze + self.offset) @ self.condition
        features = at_points(self.features, corners.reshape(-1, 3), weights.reshape(-1, 3))
        of_point = features.reshape(*normals.shape[:2], -1) + normals @ self.normal
        first = torch.relu(of_point + constant[:, None])
        second = torch.relu(first @ self.hidden + self.hidden_bias)
        return torch.sigmoid(second @ self.colour + self.colour_bias)

    def to_student(self) -> Student:
        """The student of these weights: bottleneck multiplied out, features rounded as stored."""
        with torch.no_grad():
            arrays = {
                "features": self.features.half().float(),
                "normal_weight": self.normal,
                "condition_weight": self.squeeze @ self.condition,
                "condition_bias": self.offset @ self.condition,
                "hidden_weight": self.hidden,
                "hidden_bias": self.hidden_bias,
                "colour_weight": self.colour,
                "colour_bias": self.colour_bias,
            }
            return Student(
                **{name: array.detach().cpu().numpy().copy() for name, array in arrays.items()}
            )


class PlainStudent(nn.Module):
    """Colours of N points by a trained student; the formula is in `imavatar_deploy.student`."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        for name, array in student.arrays().items():
            if name != "features":
                self.register_buffer(name, torch.from_numpy(np.array(array)))

    def forward(self, feature: Tensor, normal: Tensor, condition: Tensor) -> Tensor:
        """Colours `[N, 3]` in 0..1.

        Args:
            feature: `[N, H]` features.
            normal: `[N, 3]` unit normals of the deformed surface.
            condition: `[1, 53]` expression and jaw, one for all points.
        """
        weights = dict(self.named_buffers())
        constant = condition @ weights["condition_weight"] + weights["condition_bias"]
        first = torch.relu(feature + normal @ weights["normal_weight"] + constant)
        second = torch.relu(first @ weights["hidden_weight"] + weights["hidden_bias"])
        return torch.sigmoid(second @ weights["colour_weight"] + weights["colour_bias"])
