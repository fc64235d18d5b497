"""PosedMap: the forward map of one frame, folded so that a search may ask it about millions of points."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .deformation import LOGIT_SCALE, DeformationNetwork
from .encoding import DIMENSIONS, encode
from .layers import smooth
from .small_matrix import inverse, times


class PosedMap:
    """Canonical points -> deformed points and skinning weights of one frame, without gradients.

    The same numbers as `deform`, for less: expression and pose enter linearly, so blendshapes and correctives
    (258 outputs) fold into the one displacement (3 outputs) that the frame makes of them, and the weight
    normalisation is resolved once.

    Args:
        deformation: the network of blendshapes, correctives and weights.
        transforms: `[J, 3, 4]` of the skinning bones in the frame.
        canonical_transforms: `[J, 3, 4]` of the canonical pose.
        expression: `[E]` of the frame.
        feature: `[36]` pose feature of the frame less the canonical one.
    """

    def __init__(
        self,
        deformation: DeformationNetwork,
        transforms: Tensor,
        canonical_transforms: Tensor,
        expression: Tensor,
        feature: Tensor,
    ) -> None:
        self.frequencies = deformation.frequencies
        self.transforms = transforms.flatten(start_dim=1)
        self.canonical_transforms = canonical_transforms.flatten(start_dim=1)
        with torch.no_grad():
            self.hidden = [_resolved(layer) for layer in deformation.layers]
            self.skinning_hidden = _resolved(deformation.skinning_hidden)
            self.skinning = tuple(LOGIT_SCALE * tensor for tensor in _resolved(deformation.skinning))
            self.displacement = _folded(deformation.blendshapes, expression, feature)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Deformed points `[N, 3]` and skinning weights `[N, J]` of canonical points `[N, 3]`."""
        hidden = encode(x, self.frequencies)
        for layer in self.hidden:
            hidden = smooth(nn.functional.linear(hidden, *layer))
        logits = nn.functional.linear(smooth(nn.functional.linear(hidden, *self.skinning_hidden)), *self.skinning)
        weights = logits.softmax(dim=-1)
        canonical = (weights @ self.canonical_transforms).reshape(-1, 3, 4)
        posed = (weights @ self.transforms).reshape(-1, 3, 4)
        rest = times(inverse(canonical[..., :3]), x - canonical[..., 3])
        shaped = rest + nn.functional.linear(hidden, *self.displacement)
        return times(posed[..., :3], shaped) + posed[..., 3], weights


def _resolved(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer, the weight normalisation resolved."""
    return layer.weight.detach(), layer.bias.detach()  # type: ignore[operator]


def _folded(blendshapes: nn.Module, expression: Tensor, feature: Tensor) -> tuple[Tensor, Tensor]:
    """Weight `[3, H]` and bias `[3]` of E expression + P feature, of the layer that gives E and P."""

    def fold(rows: Tensor) -> Tensor:
        pose, basis = torch.split(rows, [DIMENSIONS * len(feature), DIMENSIONS * len(expression)])
        corrected = torch.einsum("f,fc...->c...", feature, pose.reshape(-1, DIMENSIONS, *rows.shape[1:]))
        return corrected + torch.einsum("e,ce...->c...", expression, basis.reshape(DIMENSIONS, -1, *rows.shape[1:]))

    weight, bias = _resolved(blendshapes)
    return fold(weight), fold(bias)
