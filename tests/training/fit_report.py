"""What a warm start reached: errors of every network on the subject's own surface."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imavatar_deploy.conventions import CONDITION_SIZE
from imavatar_deploy.model.implicit_avatar import ImplicitAvatar
from imavatar_deploy.training.warm_start.lighting import apply_light
from imavatar_deploy.training.warm_start.sample_pool import SamplePool

CHUNK = 8192
CLEAR = 0.002
"""Model units (half a millimetre); nearer to the surface a point has no side worth counting."""
MOVED = 0.3
"""A point is moved by an expression when it goes at least this share of the expression's longest way."""


def fit_report(avatar: ImplicitAvatar, pool: SamplePool, count: int = 40_000) -> dict[str, float]:
    """Errors at up to `count` points of the pool close to the surface; use a pool the networks were not fitted to.

    Returns:
        `distance`: mean |sdf - target|, model units; `side`: share of clear points on the right side; `colour`: mean
        absolute error, 0..1, neutral; `weights`: mean absolute error per bone; `expression`, `pose`: mean absolute
        error per component, model units; `gain NAME`: fitted motion over wanted motion where that expression moves.
    """
    index = pool.close[:count]
    with torch.no_grad():
        rows = [
            _errors(avatar, pool, chunk)
            for chunk in np.array_split(index, max(1, len(index) // CHUNK))
        ]
        report = {name: float(torch.cat([row[name] for row in rows]).mean()) for name in rows[0]}
        report |= dict(_gains(avatar, pool, index))
    return report


def _errors(
    avatar: ImplicitAvatar, pool: SamplePool, index: NDArray[np.int64]
) -> dict[str, Tensor]:
    points, distance = torch.from_numpy(pool.points[index]), pool.distances(index)
    target = pool.targets(index, ("normal", "colour", "expression", "pose", "weights"))
    sdf, feature = avatar.geometry(points)
    found = avatar.deformation(points)
    colour = avatar.texture(points, target["normal"], torch.zeros(CONDITION_SIZE), feature)
    return {
        "distance": (sdf - distance).abs(),
        "side": ((sdf < 0) == (distance < 0))[distance.abs() > CLEAR].float(),
        "colour": (colour - apply_light(target["colour"], target["normal"])).abs(),
        "weights": (found.weights - target["weights"]).abs(),
        "expression": (found.expression - target["expression"]).abs(),
        "pose": (found.pose - target["pose"]).abs(),
    }


def _gains(
    avatar: ImplicitAvatar, pool: SamplePool, index: NDArray[np.int64]
) -> Iterator[tuple[str, float]]:
    """Least-squares factor between the fitted and the wanted displacements of the moved points."""
    wanted = torch.cat(
        [pool.targets(part, ("expression",))["expression"] for part in np.array_split(index, 8)]
    )
    found = torch.cat(
        [
            avatar.deformation(torch.from_numpy(pool.points[part])).expression
            for part in np.array_split(index, 8)
        ]
    )
    length = wanted.norm(dim=1)
    for column, name in enumerate(avatar.expression_names):
        moved = length[:, column] > MOVED * length[:, column].max()
        want, have = wanted[moved, :, column], found[moved, :, column]
        yield f"gain {name}", float((want * have).sum() / (want * want).sum().clamp_min(1e-12))
