"""Shapes with a known distance function or mesh."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Distance = Callable[[Tensor], Tensor]


def sphere(x: Tensor) -> Tensor:
    return x.norm(dim=1) - 0.7


def torus(x: Tensor) -> Tensor:
    return torch.stack([x[:, [0, 2]].norm(dim=1) - 0.6, x[:, 1]]).norm(dim=0) - 0.15


def spheres(x: Tensor) -> Tensor:
    """Three spheres, the smallest of which lies between the points of a coarse lattice."""
    centres = torch.tensor([[0.0, 0.0, 0.0], [0.8, 0.1, 0.2], [-0.7, 0.5, 0.011]])
    return ((x[:, None] - centres).norm(dim=2) - torch.tensor([0.4, 0.2, 0.03])).amin(dim=1)


def plate(x: Tensor) -> Tensor:
    """A plate thinner than a coarse cell, like an ear or a lid."""
    return torch.maximum((x[:, 2] - 0.31 * x[:, 0] - 0.013).abs() - 0.008, x.norm(dim=1) - 0.6)


def closed_sphere(rings: int, sectors: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return vertices [V, 3] and faces [F, 3] of a unit sphere with poles on Y.

    The faces are counter-clockwise seen from outside.
    """
    theta = np.linspace(0, np.pi, rings + 1)[1:-1, None]
    phi = np.linspace(0, 2 * np.pi, sectors, endpoint=False)[None]
    bands = np.stack(
        np.broadcast_arrays(
            np.sin(theta) * np.sin(phi), np.cos(theta), np.sin(theta) * np.cos(phi)
        ),
        -1,
    )
    vertices = np.concatenate([bands.reshape(-1, 3), [[0, 1, 0], [0, -1, 0]]])
    grid = np.arange((rings - 1) * sectors).reshape(rings - 1, sectors)
    right = np.roll(grid, -1, axis=1)
    top = len(vertices) - 2
    bottom = len(vertices) - 1
    quads = [[grid[:-1], grid[1:], right[1:]], [grid[:-1], right[1:], right[:-1]]]
    caps = [
        [np.full(sectors, top), grid[0], right[0]],
        [grid[-1], np.full(sectors, bottom), right[-1]],
    ]
    faces = [
        np.stack(np.broadcast_arrays(*corners), -1).reshape(-1, 3) for corners in (*quads, *caps)
    ]
    return vertices.astype(np.float32), np.concatenate(faces).astype(np.int32)
