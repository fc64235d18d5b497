"""Read the networks' sizes off the shapes of their tensors, whatever the configuration said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from imavatar_deploy.conventions import POSE_FEATURE_SIZE

from .encoding import DIMENSIONS
from .sizes import NetworkSizes

LATENT_SIZE = 32
"""The published code's one length of a per-frame latent code."""


class Layer(NamedTuple):
    """Shape of one linear layer."""

    outputs: int
    inputs: int


def infer_sizes(state: Mapping[str, Tensor]) -> NetworkSizes:
    """The `NetworkSizes` that fit a state dict (in our names) of the published networks.

    An encoded point is an odd multiple of three long, and no such number is left after subtracting 32 from another:
    the input's length tells whether there is a latent code. Shapes that fit nothing surface in `weights.fill`.

    Raises:
        KeyError: a network is missing.
        InputError: the shapes give impossible sizes.
    """
    geometry = _layers(state, "geometry")
    deformation = _layers(state, "deformation")
    texture = _layers(state, "texture")
    latent = 0 if (geometry[0].inputs - DIMENSIONS) % (2 * DIMENSIONS) == 0 else LATENT_SIZE
    bottleneck, condition = state["texture.bottleneck.weight"].shape
    feature = geometry[-1].outputs - 1
    return NetworkSizes(
        geometry_layers=tuple(layer.inputs for layer in geometry[1:]),
        geometry_skip=tuple(i for i in range(1, len(geometry)) if geometry[i].inputs != geometry[i - 1].outputs),
        geometry_frequencies=_frequencies(geometry[0].inputs - latent),
        feature=feature,
        latent=latent,
        deformation_layers=tuple(layer.outputs for layer in deformation),
        deformation_frequencies=_frequencies(deformation[0].inputs),
        expressions=len(state["deformation.blendshapes.bias"]) // DIMENSIONS - POSE_FEATURE_SIZE,
        bones=len(state["deformation.skinning.bias"]),
        texture_layers=tuple(layer.outputs for layer in texture[:-1]),
        texture_frequencies=_frequencies(texture[0].inputs - DIMENSIONS - bottleneck - feature),
        bottleneck=bottleneck,
        condition=condition,
    )


def _layers(state: Mapping[str, Tensor], network: str) -> list[Layer]:
    name = f"{network}.layers.{{}}.parametrizations.weight.original1"
    shapes = [state[name.format(0)].shape]
    while name.format(len(shapes)) in state:
        shapes.append(state[name.format(len(shapes))].shape)
    return [Layer(outputs, inputs) for outputs, inputs in shapes]


def _frequencies(encoded: int) -> int:
    return (encoded - DIMENSIONS) // (2 * DIMENSIONS)
