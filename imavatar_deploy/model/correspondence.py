"""Correspondence search: the canonical points that deform to given points (IMavatar, SNARF).

Broyden's method runs from several starts. Each start assumes that the point moves rigidly with one
bone. `PosedMap` is a fast forward map for one frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from imavatar_deploy.conventions import BONES

from .deformation import LOGIT_SCALE, DeformationNetwork
from .implicit_diff import inverse, times
from .layers import DIMENSIONS, encode, smooth, weight_and_bias

BROYDEN_STEPS = 10
"""Largest number of steps of Broyden's method."""

IMAGE_TOLERANCE = 1e-5
"""Distance (model units) between the image of a root and its point below which it is valid."""

DIVERGENCE_DISTANCE = 1.0
"""Distance (model units) between image and point at which a search stops."""

DENOMINATOR_OFFSET = 1e-6
"""Offset that keeps the denominator of Broyden's update from zero."""

ForwardMap = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Maps canonical points `[N, 3]` to deformed points `[N, 3]` and skinning weights `[N, J]`."""


class Converged(NamedTuple):
    """Results of N searches."""

    canonical: Tensor  # [N, 3] last iterates
    residual: Tensor  # [N] smallest distance reached between image and point


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Disable TF32 and autocast in this context.

    TF32 has a mantissa of 10 bits. Images of points about 1 unit from the origin then have an error
    of 1e-3, and searches cannot reach the tolerance of 1e-5. The published code diverges for
    this reason on Ampere cards, where TF32 was the default. Autocast is less precise still.
    """
    with _float32_products(), torch.autocast(device.type, enabled=False):
        yield


@contextmanager
def _float32_products() -> Iterator[None]:
    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:  # set through PyTorch's newer switch, which excludes this one
        switch = torch.backends.cuda.matmul
        previous = switch.fp32_precision
        switch.fp32_precision = "ieee"
        try:
            yield
        finally:
            switch.fp32_precision = previous
        return
    if precision != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        if precision != "highest":
            torch.set_float32_matmul_precision(precision)


def starting_bones(bones: int) -> list[int]:
    """Return the indices of the skinning bones from which searches start, as published."""
    return [0, 2, 3] if bones > len(BONES) else [0, 1, 2]


def starts(points: Tensor, transforms: Tensor, canonical_transforms: Tensor) -> Tensor:
    """Return starts `[N, S, 3]`: points moved rigidly to canonical space with each of S bones.

    Args:
        points: `[N, 3]` deformed points.
        transforms: `[S, 3, 4]` transforms of the bones in the frame.
        canonical_transforms: `[S, 3, 4]` transforms of the same bones in the canonical pose.
    """
    rest = torch.einsum(
        "src,nsc->nsr", inverse(transforms[..., :3]), points[:, None] - transforms[..., 3]
    )
    return (
        torch.einsum("src,nsc->nsr", canonical_transforms[..., :3], rest)
        + canonical_transforms[..., 3]
    )


def broyden(forward: ForwardMap, start: Tensor, points: Tensor, transforms: Tensor) -> Converged:
    """Solve forward(x) = point by Broyden's ("good") method, independently for each point.

    Every search takes at least one step and ends once it has converged or diverged.

    Args:
        forward: canonical points -> deformed points and skinning weights.
        start: `[N, 3]` canonical points.
        points: `[N, 3]` deformed points.
        transforms: `[J, 3, 4]` transforms of the bones in the frame. The initial inverse Jacobian
            is that of skinning alone.
    """
    image, weights = forward(start)
    jacobian_inverse = inverse(
        (weights @ transforms[..., :3].flatten(start_dim=1)).reshape(-1, 3, 3)
    )
    x, error = start.clone(), image - points
    step = -times(jacobian_inverse, error)
    ends, residual = x.clone(), error.norm(dim=1)
    active = torch.arange(len(start), device=start.device)
    for _ in range(BROYDEN_STEPS):
        x = x + step
        change = forward(x)[0] - points - error
        error = error + change
        distance = error.norm(dim=1)
        smallest = torch.minimum(residual[active], distance)
        ends[active], residual[active] = x, smallest
        going = ((smallest > IMAGE_TOLERANCE) & (distance < DIVERGENCE_DISTANCE)).nonzero()[:, 0]
        if not len(going):
            break
        active, x, error, points = active[going], x[going], error[going], points[going]
        jacobian_inverse = _broyden_update(jacobian_inverse[going], step[going], change[going])
        step = -times(jacobian_inverse, error)
    return Converged(ends, residual)


def _broyden_update(jacobian_inverse: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """Apply Broyden's rank-one update for `step` and the `change` of the image."""
    row = (step[:, None] @ jacobian_inverse)[:, 0]
    denominator = (row * change).sum(dim=1, keepdim=True)
    denominator = denominator + DENOMINATOR_OFFSET * torch.where(denominator >= 0, 1.0, -1.0)
    column = (step - times(jacobian_inverse, change)) / denominator
    return jacobian_inverse + column[:, :, None] * row[:, None]


# The forward map of one frame


class PosedMap:
    """Map canonical points to deformed points and skinning weights in one frame, without gradients.

    The results equal those of `ImplicitAvatar.deform`. It is faster because expression and pose,
    in which the displacement is linear, are folded into the last layer (3 outputs in place of 258),
    and because the weight normalisation is computed once.

    Args:
        deformation: network of blendshapes and skinning weights.
        transforms: `[J, 3, 4]` transforms of the skinning bones in the frame.
        canonical_transforms: `[J, 3, 4]` the same in the canonical pose.
        expression: `[E]` of the frame.
        feature: `[36]` pose feature of the frame minus that of the canonical pose.
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
            self.hidden = [weight_and_bias(layer) for layer in deformation.layers]
            self.skinning_hidden = weight_and_bias(deformation.skinning_hidden)
            self.skinning = tuple(
                LOGIT_SCALE * tensor for tensor in weight_and_bias(deformation.skinning)
            )
            self.displacement = _fold_blendshapes(deformation.blendshapes, expression, feature)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return deformed points `[N, 3]` and weights `[N, J]` of canonical points `[N, 3]`."""
        hidden = encode(x, self.frequencies)
        for layer in self.hidden:
            hidden = smooth(nn.functional.linear(hidden, *layer))
        logits = nn.functional.linear(
            smooth(nn.functional.linear(hidden, *self.skinning_hidden)), *self.skinning
        )
        weights = logits.softmax(dim=-1)
        canonical = (weights @ self.canonical_transforms).reshape(-1, 3, 4)
        posed = (weights @ self.transforms).reshape(-1, 3, 4)
        rest = times(inverse(canonical[..., :3]), x - canonical[..., 3])
        shaped = rest + nn.functional.linear(hidden, *self.displacement)
        return times(posed[..., :3], shaped) + posed[..., 3], weights


def _fold_blendshapes(
    blendshapes: nn.Module, expression: Tensor, feature: Tensor
) -> tuple[Tensor, Tensor]:
    """Return weight `[3, H]` and bias `[3]` of the layer for E expression + P feature."""

    def fold(rows: Tensor) -> Tensor:
        pose, basis = torch.split(rows, [DIMENSIONS * len(feature), DIMENSIONS * len(expression)])
        corrected = torch.einsum(
            "f,fc...->c...", feature, pose.reshape(-1, DIMENSIONS, *rows.shape[1:])
        )
        return corrected + torch.einsum(
            "e,ce...->c...", expression, basis.reshape(DIMENSIONS, -1, *rows.shape[1:])
        )

    weight, bias = weight_and_bias(blendshapes)
    return fold(weight), fold(bias)
