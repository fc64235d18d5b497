"""Field: a signed distance inside the bounding sphere, evaluated in chunks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.conventions import BOUNDING_RADIUS
from imavatar_deploy.progress import Advance

CHUNK = 2048
"""Points per call: activations of 512 channels then stay in the cache.

On a CPU this is a third faster than 16,384.
"""


def chunks(count: int) -> list[slice]:
    """Return slices of at most `CHUNK` that cover `count` points."""
    return [slice(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]


@dataclass
class Field:
    """The signed field `max(sdf(x), |x| - radius)`, negative inside the surface."""

    sdf: Callable[[Tensor], Tensor]
    """Maps points `[N, 3]` to `[N]`; a scaled logit of which only sign and zeros are used."""
    radius: float = BOUNDING_RADIUS
    """Radius of the bounding sphere, model units."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    evaluations: int = 0
    """Number of points evaluated so far."""

    def values(self, points: Float32[Array, "N 3"], advance: Advance) -> Float32[Array, " N"]:
        """Return the field at points, in model units; `advance` receives the number of points."""
        values: Float32[Array, " N"] = (np.linalg.norm(points, axis=1) - self.radius).astype(
            np.float32
        )
        with torch.inference_mode():
            for part in chunks(len(points)):
                values[part] = np.maximum(
                    values[part], self.sdf(self._tensor(points[part])).cpu().numpy()
                )
                advance(part.stop - part.start)
        self.evaluations += len(points)
        return values

    def values_and_gradients(
        self, points: Float32[Array, "N 3"], advance: Advance
    ) -> tuple[Float32[Array, " N"], Float32[Array, "N 3"]]:
        """Return the field and its gradient at points, as `values` does."""
        values = np.zeros(len(points), dtype=np.float32)
        gradients = np.zeros_like(points)
        for part in chunks(len(points)):
            x = self._tensor(points[part]).requires_grad_()
            value = torch.maximum(self.sdf(x), x.norm(dim=1) - self.radius)
            (gradient,) = torch.autograd.grad(value.sum(), x)
            values[part] = value.detach().cpu().numpy()
            gradients[part] = gradient.cpu().numpy()
            advance(part.stop - part.start)
        self.evaluations += len(points)
        return values, gradients

    def _tensor(self, points: Float32[Array, "N 3"]) -> Tensor:
        return torch.from_numpy(points).to(self.device)
