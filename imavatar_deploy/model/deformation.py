"""Deformation network: canonical point -> blendshapes and weights (IMavatar, "Deformation")."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.conventions import POSE_FEATURE_SIZE

from .layers import (
    DIMENSIONS,
    encode,
    encoded_size,
    initial_linear,
    smooth,
    smooth_layers,
    weight_normed,
    zero_linear,
)
from .sizes import NetworkSizes

LOGIT_SCALE = 20.0
"""Factor of the skinning logits, as published: small outputs give sharp weights."""


class Deformation(NamedTuple):
    """Blendshapes and skinning weights of canonical points."""

    expression: Tensor  # [N, 3, E] displacement per unit of expression
    pose: Tensor  # [N, 36, 3] displacement per unit of pose feature
    weights: Tensor  # [N, J] skinning weights, rows sum to one, ghost bone first when J = 6


class DeformationNetwork(nn.Module):
    """Map canonical points to blendshapes and skinning weights.

    Initially the blendshapes are zero and the skinning weights equal.

    Args:
        sizes: widths, depths and frequencies.
        condition: length of the frame condition beside the point. Only a baseline has one.
    """

    def __init__(self, sizes: NetworkSizes, condition: int = 0) -> None:
        super().__init__()
        self.frequencies = sizes.deformation_frequencies
        self.expressions = sizes.expressions
        widths = (encoded_size(self.frequencies) + condition, *sizes.deformation_layers)
        last = widths[-1]
        self.layers = smooth_layers(widths)
        self.blendshapes = zero_linear(last, DIMENSIONS * (POSE_FEATURE_SIZE + self.expressions))
        self.skinning_hidden = weight_normed(initial_linear(last, last))
        self.skinning = zero_linear(last, sizes.bones)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Deformation:
        """Return blendshapes and skinning weights of points.

        Args:
            x: `[N, 3]` canonical points, model units.
            condition: `[C]` condition of the frame.

        Raises:
            InputError: `x` has another shape.
        """
        ensure_shape("points", x, ("N", DIMENSIONS))
        hidden = encode(x, self.frequencies)
        if condition is not None:
            hidden = torch.cat([hidden, condition.expand(x.shape[0], -1)], dim=-1)
        for layer in self.layers:
            hidden = smooth(layer(hidden))
        # Two layouts: pose correctives are feature-major, expression blendshapes coordinate-major.
        pose, expression = self.blendshapes(hidden).split(
            [DIMENSIONS * POSE_FEATURE_SIZE, DIMENSIONS * self.expressions], dim=-1
        )
        logits = self.skinning(smooth(self.skinning_hidden(hidden)))
        return Deformation(
            expression.reshape(-1, DIMENSIONS, self.expressions),
            pose.reshape(-1, POSE_FEATURE_SIZE, DIMENSIONS),
            (LOGIT_SCALE * logits).softmax(dim=-1),
        )
