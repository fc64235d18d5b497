"""LossWeights: how much each term of the losses counts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Terms = dict[str, Tensor]
"""Loss terms by the name of their weight, not weighted yet."""


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts. The defaults are the published supervised configuration."""

    colour: float = 1.0
    """Sum of absolute differences over the channels, colours in -1..1, a pixel."""
    mask: float = 100.0
    """Binary cross-entropy of the silhouette."""
    sharpness: float = 50.0
    """Alpha: how fast occupancy falls with signed distance in the mask term."""
    skinning: float = 0.1
    """Skinning weights against those of the nearest head-model vertex."""
    pose: float = 10.0
    """Pose correctives against the nearest vertex's."""
    expression: float = 10.0
    """Expression blendshapes against the nearest vertex's."""
    flame_distance: float = 10_000.0
    """Squared squared distance of skin to the head model; needs semantic labels."""
    space: float = 0.0
    """Points in space that an image shows to be empty, where the paper's marcher would look and the quick tracer does
    not; 0 as published."""
    free_space: float = 0.0
    """Points in front of skin, which no mask shows to be empty; needs labels; 0 as published."""
    smooth: float = 0.0
    """Difference of the normals of neighbouring surface points; 0 as published."""
    rules: bool = True
    """Follow the semantic rules where the data has labels: hair, cloth and the inside of the mouth."""
    expression_drift: float = 0.0
    """Squared deviation of optimised expressions from the tracked ones."""
    pose_drift: float = 0.0
    """Squared deviation of optimised poses from the tracked ones."""
    camera_drift: float = 0.0
    """Squared deviation of optimised camera centres from the tracked ones."""

    def total(self, terms: Terms) -> Tensor:
        """The weighted sum of the terms that are there."""
        return torch.stack([getattr(self, name) * term for name, term in terms.items()]).sum()
