"""Quality of a warm start: errors of every network on the surface that it was fitted to."""

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
"""Distance from the surface, model units (half a millimetre), from which `side` counts a point."""
MOVED = 0.3
"""Smallest displacement of a point that `gain` counts, relative to the expression's largest."""


def fit_report(avatar: ImplicitAvatar, pool: SamplePool, count: int = 40_000) -> dict[str, float]:
    """Compute errors at up to `count` points of a pool close to the surface.

    Use a pool that the networks were not fitted to.

    Returns:
        `distance`: mean |sdf - target|, model units.
        `side`: share of points with the right sign, of those that are not too close to the surface.
        `colour`: mean absolute error, 0..1, of the neutral expression.
        `weights`: mean absolute error per bone.
        `expression`, `pose`: mean absolute error per component, model units.
        `gain NAME`: fitted displacement relative to the target where that expression moves.
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
    points = torch.from_numpy(pool.points[index])
    distance = pool.distances(index)
    target = pool.targets(index, ("normal", "colour", "expression", "pose", "weights"))
    sdf, feature = avatar.geometry(points)
    fields = avatar.deformation(points)
    colour = avatar.texture(points, target["normal"], torch.zeros(CONDITION_SIZE), feature)
    return {
        "distance": (sdf - distance).abs(),
        "side": ((sdf < 0) == (distance < 0))[distance.abs() > CLEAR].float(),
        "colour": (colour - apply_light(target["colour"], target["normal"])).abs(),
        "weights": (fields.weights - target["weights"]).abs(),
        "expression": (fields.expression - target["expression"]).abs(),
        "pose": (fields.pose - target["pose"]).abs(),
    }


def _gains(
    avatar: ImplicitAvatar, pool: SamplePool, index: NDArray[np.int64]
) -> Iterator[tuple[str, float]]:
    """Least-squares factor from the target to the fitted displacements of the moved points."""
    target = torch.cat(
        [pool.targets(part, ("expression",))["expression"] for part in np.array_split(index, 8)]
    )
    fitted = torch.cat(
        [
            avatar.deformation(torch.from_numpy(pool.points[part])).expression
            for part in np.array_split(index, 8)
        ]
    )
    length = target.norm(dim=1)
    for column, name in enumerate(avatar.expression_names):
        moved = length[:, column] > MOVED * length[:, column].max()
        a = target[moved, :, column]
        b = fitted[moved, :, column]
        yield f"gain {name}", float((a * b).sum() / (a * a).sum().clamp_min(1e-12))
