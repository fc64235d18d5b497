"""Sizes, initial state and output layouts of the networks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from imavatar_deploy.errors import InputError
from imavatar_deploy.model import ImplicitAvatar, NetworkSizes
from imavatar_deploy.model.deformation import DeformationNetwork
from imavatar_deploy.model.geometry import GeometryNetwork
from imavatar_deploy.model.layers import encode, encoded_size
from imavatar_deploy.model.texture import TextureNetwork


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def sphere(radius: float, n: int = 500) -> torch.Tensor:
    directions = torch.randn(n, 3, generator=torch.Generator().manual_seed(3))
    return radius * torch.nn.functional.normalize(directions, dim=-1)


def test_published_parameter_counts() -> None:
    sizes = NetworkSizes()
    networks = (GeometryNetwork(sizes), DeformationNetwork(sizes), TextureNetwork(sizes))
    assert [count(network) for network in networks] == [1_975_220, 101_256, 943_030]


def test_encoding_order() -> None:
    x = torch.tensor([[0.1, 0.2, 0.3]])
    encoded = encode(x, 2)
    assert encoded.shape == (1, encoded_size(2)) == (1, 15)
    expected = [x, torch.sin(x), torch.cos(x), torch.sin(2 * x), torch.cos(2 * x)]
    torch.testing.assert_close(encoded, torch.cat(expected, dim=-1))


@pytest.mark.parametrize("latent", [0, 32])
@pytest.mark.parametrize("seed", range(3))
@torch.no_grad()
def test_geometry_starts_as_a_sphere(latent: int, seed: int) -> None:
    torch.manual_seed(seed)
    network = GeometryNetwork(NetworkSizes(latent=latent))
    assert -0.25 < network(torch.zeros(1, 3)).sdf.item() < -0.1
    radii = torch.linspace(0.04, 1.2, 30)
    sdf = network((radii[:, None, None] * sphere(1.0, 100)).reshape(-1, 3)).sdf.reshape(
        len(radii), -1
    )
    inside = sdf < 0
    assert (inside.int().diff(dim=0) <= 0).all(), (
        "every ray from the origin leaves the surface once"
    )
    surface = (inside.sum(dim=0) + 0.5) * 0.04
    assert ((surface > 0.3) & (surface < 0.65)).all()
    assert 0.4 < surface.mean() < 0.56


@torch.no_grad()
def test_encoding_and_latent_have_no_influence_initially() -> None:
    torch.manual_seed(4)
    network = GeometryNetwork(NetworkSizes(latent=32))
    for layer in (0, 4):
        weight = network.layers[layer].weight
        assert (weight[:, weight.shape[1] - (39 + 32 - 3) :] == 0).all()
        assert (weight[:, : weight.shape[1] - (39 + 32 - 3)] != 0).all()
    x = sphere(0.5)
    torch.testing.assert_close(network(x, torch.rand(32)).sdf, network(x).sdf)


@torch.no_grad()
def test_the_default_latent_code(
    make_avatar: Callable[..., ImplicitAvatar], points: torch.Tensor
) -> None:
    geometry = make_avatar(latent=5).geometry
    own = geometry(points).sdf
    torch.testing.assert_close(geometry(points, geometry.latent.expand(len(points), 5)).sdf, own)
    assert not torch.allclose(geometry(points, geometry.latent + 1.0).sdf, own)


@torch.no_grad()
def test_deformation_is_zero_initially(points: torch.Tensor) -> None:
    deformation = DeformationNetwork(NetworkSizes())(points)
    assert (deformation.expression == 0).all()
    assert (deformation.pose == 0).all()
    torch.testing.assert_close(deformation.weights, torch.full((len(points), 6), 1 / 6))


@torch.no_grad()
def test_deformation_output_layout() -> None:
    network = DeformationNetwork(NetworkSizes())
    network.blendshapes.bias.copy_(torch.arange(258.0))
    network.skinning.bias[2] = np.log(3.0) / 20.0
    deformation = network(torch.zeros(1, 3))
    assert deformation.pose[0, 5].tolist() == [15.0, 16.0, 17.0]
    assert deformation.expression[0, :, 7].tolist() == [108.0 + 7, 108.0 + 57, 108.0 + 107]
    torch.testing.assert_close(
        deformation.weights[0, 2] / deformation.weights[0, 0], torch.tensor(3.0)
    )


@torch.no_grad()
def test_texture_condition_may_be_shared(small: ImplicitAvatar, points: torch.Tensor) -> None:
    normal = torch.randn_like(points)
    condition = torch.rand(53)
    feature = torch.randn(len(points), 8)
    rgb = small.texture(points, normal, condition, feature)
    assert rgb.shape == points.shape
    assert ((rgb >= 0) & (rgb <= 1)).all()
    torch.testing.assert_close(
        small.texture(points, normal, condition.expand(len(points), 53), feature), rgb
    )


@torch.no_grad()
def test_texture_input_columns(small: ImplicitAvatar, points: torch.Tensor) -> None:
    texture = small.texture
    normal = torch.randn_like(points)
    condition = torch.rand(53)
    feature = torch.randn(len(points), 8)
    weight = texture.layers[0].weight
    columns = texture.inputs
    parts = {"point": encode(points, 1), "normal": normal, "feature": feature}
    parts["condition"] = texture.bottleneck(condition).expand(len(points), -1)
    first = sum(part @ weight[:, getattr(columns, name)].T for name, part in parts.items())
    hidden = torch.relu(first + texture.layers[0].bias)
    rgb = torch.tanh(texture.layers[2](torch.relu(texture.layers[1](hidden)))) / 2 + 0.5
    torch.testing.assert_close(texture(points, normal, condition, feature), rgb)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"feature": 0}, "positive"),
        ({"latent": -1}, "positive"),
        ({"texture_layers": ()}, "hidden layer"),
        ({"geometry_skip": (9,)}, "skips must name layers 1 to 8"),
        ({"bones": 4}, "bones must be 5 or 6"),
    ],
)
def test_impossible_sizes(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        NetworkSizes(**wrong)  # type: ignore[arg-type]
