"""PosedField: an avatar in one frame as a tracer asks about it: where canonical points go, and their distance."""

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
from imavatar_deploy.model.layers import encode, smooth
from imavatar_deploy.model.surface.field import chunks

# SignedDistance: the geometry network of one frame, folded so that a tracer may ask it for distances alone.


class SignedDistance:
    """Canonical points `[N, 3]` -> signed distance `[N]`, differentiable in the points only.

    The same numbers as `geometry(x, code).sdf`: the weight normalisation is resolved once instead of in each of a
    trace's ten calls, and the feature is left out.

    Args:
        code: what the geometry network is told of the frame (`Variant.geometry_code`).
    """

    def __init__(self, geometry: GeometryNetwork, code: Tensor | None) -> None:
        self.frequencies, self.skip = geometry.frequencies, geometry.skip
        with torch.no_grad():
            self.code = geometry.whole_code(code)
            self.layers = [_resolved(layer) for layer in geometry.layers]
            weight, bias = self.layers.pop()
            self.last = weight[:1], bias[:1]

    def __call__(self, x: Tensor) -> Tensor:
        """[N] signed distance of canonical points `[N, 3]`."""
        inputs = torch.cat([encode(x, self.frequencies), self.code.expand(len(x), -1)], dim=1)
        hidden = inputs
        for index, layer in enumerate(self.layers):
            hidden = smooth(nn.functional.linear(self._skipped(hidden, inputs, index), *layer))
        distance = nn.functional.linear(self._skipped(hidden, inputs, len(self.layers)), *self.last)
        return distance[:, 0]

    def _skipped(self, hidden: Tensor, inputs: Tensor, index: int) -> Tensor:
        return torch.cat([hidden, inputs], dim=1) / math.sqrt(2.0) if index in self.skip else hidden


def _resolved(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer, the weight normalisation resolved."""
    return layer.weight.detach(), layer.bias.detach()  # type: ignore[operator]


class Rays(NamedTuple):
    """Rays as two planes each: a point p is on the ray where across @ (p - origin) = 0."""

    origin: Tensor  # [3]
    directions: Tensor  # [N, 3]
    across: Tensor  # [N, 2, 3]

    @classmethod
    def of(cls, view: RayBundle) -> Rays:
        """The rays of a view, without its gradients."""
        directions = view.directions.detach()
        return cls(view.origin.detach(), directions, implicit_diff.across(directions))

    def select(self, which: Tensor) -> Rays:
        """Only some of them."""
        return Rays(self.origin, self.directions[which], self.across[which])

    def at(self, distance: Tensor) -> Tensor:
        """[N, 3] points `distance` `[N]` along the rays."""
        return self.origin + distance[:, None] * self.directions

    def distance(self, points: Tensor) -> Tensor:
        """[N] how far along its ray each point is."""
        return ((points - self.origin) * self.directions).sum(dim=1)

    def offset(self, points: Tensor) -> Tensor:
        """[N, 2] how far beside its ray each point is."""
        return (self.across @ (points - self.origin)[..., None])[..., 0]


class PosedField:
    """Forward map and signed distance of `model` in `frame`; no gradient reaches the networks."""

    def __init__(self, model: ForwardAvatarModel, frame: Frame) -> None:
        code = model.geometry_code(frame)
        self._model, self._frame = model, frame
        self._forward: ForwardMap = model.forward_map(frame)
        self._sdf = SignedDistance(model.geometry, code if code is None else code.detach())

    def deform(self, x: Tensor) -> Tensor:
        """Canonical points -> deformed points `[N, 3]`."""
        return self._forward(x)[0]

    def sdf(self, x: Tensor) -> Tensor:
        """[N] signed distance of canonical points."""
        return torch.cat([self._sdf(x[part]) for part in chunks(len(x))]) if len(x) else x[:, 0]

    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Deformed points `[N, 3]` and their Jacobian `[N, 3, 3]`."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            deformed = self.deform(x)
            jacobian = implicit_diff.jacobian(deformed, x, graph=False)
        return deformed.detach(), jacobian

    def sdf_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Signed distance `[N]` and its gradient `[N, 3]`."""
        values, gradients = [x[:0, 0]], [x[:0]]
        for part in chunks(len(x)):
            with torch.enable_grad():
                asked = x[part].detach().requires_grad_()
                value = self._sdf(asked)
                gradients.append(torch.autograd.grad(value.sum(), asked)[0])
            values.append(value.detach())
        return torch.cat(values), torch.cat(gradients)

    def find_canonical(self, points: Tensor) -> Correspondences:
        """The model's own search, from its bones."""
        return self._model.find_canonical(points, self._frame)
