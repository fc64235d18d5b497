"""Texture code: the texture network's first layer at each vertex, in few numbers.

The layer is linear. Of its pre-activation `W_x PE(x) + W_z z + b + W_n n + W_c B(condition)`, the
terms that depend on the point alone are one vector of the layer's width for each vertex. These
vectors span a space of few dimensions (at most 27 + 256 as published; about twenty on the reference
head), so their first principal components represent them. Interpolating codes is interpolating
pre-activations, since both maps are linear.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Float32, Float64
from imavatar_deploy.errors import InternalError
from imavatar_deploy.model.layers import encode
from imavatar_deploy.model.surface.field import chunks
from imavatar_deploy.model.texture import TextureNetwork
from imavatar_deploy.progress import Progress, silent

from .formats.onnx_modules import BakedTexture, folded_parameters

PROBE_VERTICES = 2048
"""Vertices on which candidate sizes are measured; the selected size is then checked on all."""

NEGLIGIBLE_VARIANCE = 1e-16
"""Components with less than this share of the largest variance are rounding."""


@dataclass(frozen=True)
class ShadedPoints:
    """Inputs of the texture network at some surface points, in C frames."""

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
    """A code of each vertex and its decoder.

    `code @ decode + mean` is the part of the first layer's pre-activation that depends on the
    point; H is the width of the layer.
    """

    code: Float32[Array, "V K"]
    decode: Float32[Array, "K H"]
    mean: Float32[Array, " H"]  # bias included
    loss: float = 0.0
    """Largest change of a colour channel (0..1) over all vertices and frames."""

    def shorten(self, size: int) -> TextureCode:
        """The code with its first `size` components only."""
        return TextureCode(np.ascontiguousarray(self.code[:, :size]), self.decode[:size], self.mean)


def texture_code(
    network: TextureNetwork, shaded: ShadedPoints, *, tolerance: float, progress: Progress = silent
) -> TextureCode:
    """The shortest code that changes no colour by more than `tolerance`.

    Args:
        network: the texture network.
        shaded: all vertices, in the frames in which colours are compared.
        tolerance: of a colour channel, 0..1.
        progress: shows how far the work is.

    Raises:
        InternalError: not even all components keep the tolerance.
    """
    with torch.inference_mode():
        full = _principal_components(network, shaded)
        largest = full.code.shape[1]
        rows = torch.linspace(
            0, len(shaded.points) - 1, min(PROBE_VERTICES, len(shaded.points))
        ).long()
        probe = shaded.at(rows)
        codes = replace(full, code=full.code[rows.numpy()])
        truth = _colours(network, probe)
        first = 1 + bisect_left(
            range(1, largest),
            True,
            key=lambda size: _loss(network, codes.shorten(size), probe, truth) <= tolerance,
        )
        with progress("texture code", None) as advance:
            truth = _colours(network, shaded)
            for size in range(first, largest + 1):
                short = full.shorten(size)
                loss = _loss(network, short, shaded, truth)
                advance(1)
                if loss <= tolerance:
                    return replace(short, loss=loss)
    raise InternalError(
        f"a texture code of all {largest} components changes a colour by {loss:.1e}"
    )


def first_layer_of_point(network: TextureNetwork, points: Tensor, feature: Tensor) -> Tensor:
    """[N, H] part of the first layer's pre-activation that depends on the point, bias included."""
    (weight, bias), columns = folded_parameters(network.layers[0]), network.inputs
    encoded = encode(points, network.frequencies)
    return encoded @ weight[:, columns.point].T + feature @ weight[:, columns.feature].T + bias


def _principal_components(network: TextureNetwork, shaded: ShadedPoints) -> TextureCode:
    """All components that are more than rounding, strongest first; computed in float64."""

    def vectors() -> Iterator[Float64[Array, "N H"]]:
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
    basis = directions[:, ::-1][:, strength[::-1] > NEGLIGIBLE_VARIANCE * strength[-1]]
    code = np.concatenate([((chunk - mean) @ basis).astype(np.float32) for chunk in vectors()])
    return TextureCode(
        code, np.ascontiguousarray(basis.T, dtype=np.float32), mean.astype(np.float32)
    )


def _colours(network: TextureNetwork, shaded: ShadedPoints) -> list[Tensor]:
    """Colours `[n, 3]` from the network, for every chunk of points in every frame."""
    return [
        network(shaded.points[part], normals[part], condition, shaded.feature[part])
        for normals, condition in zip(shaded.normals, shaded.condition, strict=True)
        for part in chunks(len(shaded.points))
    ]


def _loss(
    network: TextureNetwork, code: TextureCode, shaded: ShadedPoints, truth: list[Tensor]
) -> float:
    """Largest difference of a colour channel between colours from codes and `truth`."""
    baked = BakedTexture(network, code.decode, code.mean)
    codes = torch.from_numpy(code.code).to(shaded.points.device)
    colours = [
        baked(codes[part], normals[part], condition[None])
        for normals, condition in zip(shaded.normals, shaded.condition, strict=True)
        for part in chunks(len(shaded.points))
    ]
    return max(
        float((colour - expected).abs().max())
        for colour, expected in zip(colours, truth, strict=True)
    )
