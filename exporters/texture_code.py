"""The texture network's first layer baked: what it knows of each vertex, in as few numbers as its colours need.

The layer is linear. Of its pre-activation `W_x PE(x) + W_z z + b + W_n n + W_c B(condition)`, what depends on the
point alone is one vector of the layer's width for each vertex. Those vectors fill a space of few dimensions (at most
27 + 256 as published; about twenty on the reference head), so their principal components hold them. Interpolating
codes is interpolating pre-activations, since both maps are linear.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imavatar_deploy.errors import InternalError
from imavatar_deploy.model.layers import encode
from imavatar_deploy.model.surface.field import chunks
from imavatar_deploy.model.texture import TextureNetwork
from imavatar_deploy.progress import Progress, silent

from .formats.onnx_modules import BakedTexture, folded

Float = NDArray[np.float32]

PROBE = 2048
"""Vertices on which candidate sizes are tried; the chosen size is then checked on all."""

NOTHING = 1e-16
"""Components with less than this share of the largest variance are rounding."""


@dataclass(frozen=True)
class ShadedPoints:
    """What the colours of some surface points depend on, in C frames."""

    points: Tensor  # [V, 3] canonical
    feature: Tensor  # [V, 256]
    normals: Tensor  # [C, V, 3] deformed
    condition: Tensor  # [C, 53]

    def at(self, rows: Tensor) -> ShadedPoints:
        """The same frames of fewer points."""
        return ShadedPoints(
            self.points[rows], self.feature[rows], self.normals[:, rows], self.condition
        )


@dataclass(frozen=True)
class TextureCode:
    """`code @ decode + mean` is the point's part of the first layer's pre-activation."""

    code: Float  # [V, K]
    decode: Float  # [K, H]
    mean: Float  # [H] bias included
    loss: float = 0.0
    """Largest change of a colour channel (0..1) over all vertices and the frames tried."""

    def shortened(self, size: int) -> TextureCode:
        """Only the first components."""
        return TextureCode(np.ascontiguousarray(self.code[:, :size]), self.decode[:size], self.mean)


def texture_code(
    network: TextureNetwork, shaded: ShadedPoints, *, tolerance: float, progress: Progress = silent
) -> TextureCode:
    """The shortest code that changes no colour by more than `tolerance`, on any vertex in any of the frames.

    Raises:
        InternalError: not even the whole space keeps the tolerance.
    """
    with torch.inference_mode():
        full = _principal_components(network, shaded)
        largest = full.code.shape[1]
        rows = torch.linspace(0, len(shaded.points) - 1, min(PROBE, len(shaded.points))).long()
        probe, codes = shaded.at(rows), replace(full, code=full.code[rows.numpy()])
        truth = _colours(network, probe)
        first = 1 + bisect_left(
            range(1, largest),
            True,
            key=lambda size: _loss(network, codes.shortened(size), probe, truth) <= tolerance,
        )
        with progress("texture code", None) as advance:
            truth = _colours(network, shaded)
            for size in range(first, largest + 1):
                short = full.shortened(size)
                loss = _loss(network, short, shaded, truth)
                advance(1)
                if loss <= tolerance:
                    return replace(short, loss=loss)
    raise InternalError(
        f"a texture code of all {largest} components changes a colour by {loss:.1e}"
    )


def first_layer_of_point(network: TextureNetwork, points: Tensor, feature: Tensor) -> Tensor:
    """[N, H] the point's part of the first layer's pre-activation, bias included."""
    (weight, bias), columns = folded(network.layers[0]), network.inputs
    encoded = encode(points, network.frequencies)
    return encoded @ weight[:, columns.point].T + feature @ weight[:, columns.feature].T + bias


def _principal_components(network: TextureNetwork, shaded: ShadedPoints) -> TextureCode:
    """All components that are more than rounding, strongest first; found and applied in float64."""

    def vectors() -> Iterator[NDArray[np.float64]]:
        for part in chunks(len(shaded.points)):
            yield (
                first_layer_of_point(network, shaded.points[part], shaded.feature[part])
                .double()
                .cpu()
                .numpy()
            )

    mean = sum(chunk.sum(axis=0) for chunk in vectors()) / len(shaded.points)
    scatter = sum((chunk - mean).T @ (chunk - mean) for chunk in vectors())
    strength, directions = np.linalg.eigh(scatter)
    kept = directions[:, ::-1][:, strength[::-1] > NOTHING * strength[-1]]
    code = np.concatenate([((chunk - mean) @ kept).astype(np.float32) for chunk in vectors()])
    return TextureCode(
        code, np.ascontiguousarray(kept.T, dtype=np.float32), mean.astype(np.float32)
    )


def _colours(network: TextureNetwork, shaded: ShadedPoints) -> list[Tensor]:
    """Colours `[n, 3]` of every frame's every chunk, by the network itself."""
    return [
        network(shaded.points[part], normals[part], condition, shaded.feature[part])
        for normals, condition in zip(shaded.normals, shaded.condition, strict=True)
        for part in chunks(len(shaded.points))
    ]


def _loss(
    network: TextureNetwork, code: TextureCode, shaded: ShadedPoints, truth: list[Tensor]
) -> float:
    """Largest difference of a colour channel when the points are known by their codes."""
    baked, codes = (
        BakedTexture(network, code.decode, code.mean),
        torch.from_numpy(code.code).to(shaded.points.device),
    )
    colours = [
        baked(codes[part], normals[part], condition[None])
        for normals, condition in zip(shaded.normals, shaded.condition, strict=True)
        for part in chunks(len(shaded.points))
    ]
    return max(
        float((colour - wanted).abs().max()) for colour, wanted in zip(colours, truth, strict=True)
    )
