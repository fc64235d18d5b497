"""PosedField: an avatar in one frame as a tracer asks about it: where canonical points go, and their distance."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from imavatar_deploy.model import implicit
from imavatar_deploy.model.correspondence import ForwardMap
from imavatar_deploy.model.forward import ForwardVariant
from imavatar_deploy.model.frame import Frame, View
from imavatar_deploy.model.surface.chunks import chunks
from imavatar_deploy.model.variant import Roots

from .signed_distance import SignedDistance


class Rays(NamedTuple):
    """Rays as two planes each: a point p is on the ray where across @ (p - origin) = 0."""

    origin: Tensor  # [3]
    directions: Tensor  # [N, 3]
    across: Tensor  # [N, 2, 3]

    @classmethod
    def of(cls, view: View) -> Rays:
        """The rays of a view, without its gradients."""
        directions = view.directions.detach()
        return cls(view.origin.detach(), directions, implicit.across(directions))

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

    def __init__(self, model: ForwardVariant, frame: Frame) -> None:
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
            jacobian = implicit.jacobian(deformed, x, graph=False)
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

    def search(self, points: Tensor) -> Roots:
        """The model's own search, from its bones."""
        return self._model.search(points, self._frame)
