"""Correspondence search: the canonical points that deform to given points (IMavatar, "Correspondence search").

Broyden's method from several starts, as SNARF does: one for each of a few bones, as if the point moved with it alone.
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
from .layers import DIMENSIONS, encode, smooth

STEPS = 10

CONVERGED = 1e-5
"""Distance (model units) between a root's image and the point it is the root of."""

DIVERGED = 1.0
"""A search whose image strays this far from its point is given up."""

GUARD = 1e-6
"""Keeps the denominator of Broyden's update from zero, with its own sign."""

ForwardMap = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Canonical points `[N, 3]` -> deformed points `[N, 3]` and skinning weights `[N, J]`."""


class Converged(NamedTuple):
    """Where searches ended."""

    canonical: Tensor  # [N, 3] last iterate
    residual: Tensor  # [N] smallest distance reached between its image and the point


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Multiply in float32, whatever the caller has chosen.

    TF32 has a mantissa of 10 bits: images of points about 1 unit from the origin are then only known to 1e-3, a search
    never comes below its 1e-5 and takes most points for rootless. The published code runs into this on Ampere cards,
    where TF32 was the default, and diverges. Autocast would do the same, and worse.
    """
    with _float32_products(), torch.autocast(device.type, enabled=False):
        yield


@contextmanager
def _float32_products() -> Iterator[None]:
    try:
        chosen = torch.get_float32_matmul_precision()
    except RuntimeError:  # chosen through PyTorch's newer switch, and the two do not mix
        switch = torch.backends.cuda.matmul
        set_to = switch.fp32_precision
        switch.fp32_precision = "ieee"
        try:
            yield
        finally:
            switch.fp32_precision = set_to
        return
    if chosen != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        if chosen != "highest":
            torch.set_float32_matmul_precision(chosen)


def starting_bones(bones: int) -> list[int]:
    """Indices of the skinning bones that searches start from (the published code's: 0, 2, 3 or 0, 1, 2)."""
    return [0, 2, 3] if bones > len(BONES) else [0, 1, 2]


def starts(points: Tensor, transforms: Tensor, canonical_transforms: Tensor) -> Tensor:
    """[N, S, 3] where the deformed points `[N, 3]` would come from if they moved with one bone alone, for each of S.

    Args:
        transforms: `[S, 3, 4]` of the bones in the frame.
        canonical_transforms: `[S, 3, 4]` of the same bones in the canonical pose.
    """
    rest = torch.einsum(
        "src,nsc->nsr", inverse(transforms[..., :3]), points[:, None] - transforms[..., 3]
    )
    return (
        torch.einsum("src,nsc->nsr", canonical_transforms[..., :3], rest)
        + canonical_transforms[..., 3]
    )


def broyden(forward: ForwardMap, start: Tensor, points: Tensor, transforms: Tensor) -> Converged:
    """Search x with forward(x) = point by Broyden's ("good") method, every point on its own.

    Only searches that are neither converged nor diverged are continued; every search takes at least one step.

    Args:
        start: `[N, 3]`.
        points: `[N, 3]` deformed points.
        transforms: `[J, 3, 4]` of the frame's bones: the first inverse Jacobian is that of skinning alone.
    """
    image, weights = forward(start)
    jacobian_inverse = inverse(
        (weights @ transforms[..., :3].flatten(start_dim=1)).reshape(-1, 3, 3)
    )
    x, error = start.clone(), image - points
    step = -times(jacobian_inverse, error)
    ends, residual = x.clone(), error.norm(dim=1)
    active = torch.arange(len(start), device=start.device)
    for _ in range(STEPS):
        x = x + step
        change = forward(x)[0] - points - error
        error = error + change
        distance = error.norm(dim=1)
        smallest = torch.minimum(residual[active], distance)
        ends[active], residual[active] = x, smallest
        going = ((smallest > CONVERGED) & (distance < DIVERGED)).nonzero()[:, 0]
        if not len(going):
            break
        active, x, error, points = active[going], x[going], error[going], points[going]
        jacobian_inverse = _updated(jacobian_inverse[going], step[going], change[going])
        step = -times(jacobian_inverse, error)
    return Converged(ends, residual)


def _updated(jacobian_inverse: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """Broyden's rank-one update of an inverse Jacobian that has seen `change` come of `step`."""
    row = (step[:, None] @ jacobian_inverse)[:, 0]
    denominator = (row * change).sum(dim=1, keepdim=True)
    denominator = denominator + GUARD * torch.where(denominator >= 0, 1.0, -1.0)
    column = (step - times(jacobian_inverse, change)) / denominator
    return jacobian_inverse + column[:, :, None] * row[:, None]


# PosedMap: the forward map of one frame, folded so that a search may ask it about millions of points.


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
            self.skinning = tuple(
                LOGIT_SCALE * tensor for tensor in _resolved(deformation.skinning)
            )
            self.displacement = _folded(deformation.blendshapes, expression, feature)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Deformed points `[N, 3]` and skinning weights `[N, J]` of canonical points `[N, 3]`."""
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


def _resolved(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer, the weight normalisation resolved."""
    return layer.weight.detach(), layer.bias.detach()  # type: ignore[operator]


def _folded(blendshapes: nn.Module, expression: Tensor, feature: Tensor) -> tuple[Tensor, Tensor]:
    """Weight `[3, H]` and bias `[3]` of E expression + P feature, of the layer that gives E and P."""

    def fold(rows: Tensor) -> Tensor:
        pose, basis = torch.split(rows, [DIMENSIONS * len(feature), DIMENSIONS * len(expression)])
        corrected = torch.einsum(
            "f,fc...->c...", feature, pose.reshape(-1, DIMENSIONS, *rows.shape[1:])
        )
        return corrected + torch.einsum(
            "e,ce...->c...", expression, basis.reshape(DIMENSIONS, -1, *rows.shape[1:])
        )

    weight, bias = _resolved(blendshapes)
    return fold(weight), fold(bias)
