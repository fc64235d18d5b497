"""PosedField: forward map and signed distance of a model in one frame, and rays as planes."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from imavatar_deploy.model import implicit_diff
from imavatar_deploy.model.correspondence import ForwardMap
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.geometry import GeometryNetwork
from imavatar_deploy.model.head_avatar import Correspondences
from imavatar_deploy.model.layers import encode, smooth, weight_and_bias
from imavatar_deploy.model.surface.field import chunks

# Signed distance


class SignedDistance:
    """Map canonical points `[N, 3]` to signed distances `[N]`, differentiable in the points only.

    The results equal those of `geometry(x, code).sdf`. It is faster because the weight
    normalisation is computed once, not in each of the ten calls of a trace, and the feature is
    omitted.

    Args:
        geometry: the geometry network.
        code: its code for the frame (`HeadAvatarModel.geometry_code`).
    """

    def __init__(self, geometry: GeometryNetwork, code: Tensor | None) -> None:
        self.frequencies = geometry.frequencies
        self.skip = geometry.skip
        with torch.no_grad():
            self.code = geometry.whole_code(code)
            self.layers = [weight_and_bias(layer) for layer in geometry.layers]
            weight, bias = self.layers.pop()
            self.last = weight[:1], bias[:1]

    def __call__(self, x: Tensor) -> Tensor:
        """Return the signed distances `[N]` of canonical points `[N, 3]`."""
        inputs = torch.cat([encode(x, self.frequencies), self.code.expand(len(x), -1)], dim=1)
        hidden = inputs
        for index, layer in enumerate(self.layers):
            hidden = smooth(nn.functional.linear(self._with_skip(hidden, inputs, index), *layer))
        distance = nn.functional.linear(
            self._with_skip(hidden, inputs, len(self.layers)), *self.last
        )
        return distance[:, 0]

    def _with_skip(self, hidden: Tensor, inputs: Tensor, index: int) -> Tensor:
        return torch.cat([hidden, inputs], dim=1) / math.sqrt(2.0) if index in self.skip else hidden


# Rays and the posed model


class Rays(NamedTuple):
    """Rays as two planes each: a point p is on a ray if across @ (p - origin) = 0."""

    origin: Tensor  # [3]
    directions: Tensor  # [N, 3]
    across: Tensor  # [N, 2, 3]

    @classmethod
    def of(cls, view: RayBundle) -> Rays:
        """Convert a bundle of rays, without its gradients."""
        directions = view.directions.detach()
        return cls(view.origin.detach(), directions, implicit_diff.orthogonal_basis(directions))

    def select(self, which: Tensor) -> Rays:
        """Return some of the rays, by mask or indices."""
        return Rays(self.origin, self.directions[which], self.across[which])

    def at(self, distance: Tensor) -> Tensor:
        """Return the points `[N, 3]` at `distance` `[N]` along the rays."""
        return self.origin + distance[:, None] * self.directions

    def distance(self, points: Tensor) -> Tensor:
        """Return the distance `[N]` of each point along its ray."""
        return ((points - self.origin) * self.directions).sum(dim=1)

    def offset(self, points: Tensor) -> Tensor:
        """Return the offset `[N, 2]` of each point orthogonal to its ray."""
        return (self.across @ (points - self.origin)[..., None])[..., 0]


class PosedField:
    """Forward map and signed distance of `model` in `frame`, without gradients in the networks."""

    def __init__(self, model: ForwardAvatarModel, frame: Frame) -> None:
        code = model.geometry_code(frame)
        self._model = model
        self._frame = frame
        self._forward: ForwardMap = model.forward_map(frame)
        self._sdf = SignedDistance(model.geometry, code if code is None else code.detach())

    def deform(self, x: Tensor) -> Tensor:
        """Deform canonical points `[N, 3]`."""
        return self._forward(x)[0]

    def sdf(self, x: Tensor) -> Tensor:
        """Return the signed distances `[N]` of canonical points."""
        return torch.cat([self._sdf(x[part]) for part in chunks(len(x))]) if len(x) else x[:, 0]

    def linearise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return deformed points `[N, 3]` and the Jacobian `[N, 3, 3]` of the forward map."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            deformed = self.deform(x)
            jacobian = implicit_diff.jacobian(deformed, x, graph=False)
        return deformed.detach(), jacobian

    def sdf_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return signed distances `[N]` and their gradients `[N, 3]`."""
        values = [x[:0, 0]]
        gradients = [x[:0]]
        for part in chunks(len(x)):
            with torch.enable_grad():
                points = x[part].detach().requires_grad_()
                value = self._sdf(points)
                gradients.append(torch.autograd.grad(value.sum(), points)[0])
            values.append(value.detach())
        return torch.cat(values), torch.cat(gradients)

    def find_canonical(self, points: Tensor) -> Correspondences:
        """Search from the bones, as `HeadAvatarModel.find_canonical` does."""
        return self._model.find_canonical(points, self._frame)
