"""The smoothness term: its value on a sphere, and its descent on a rough surface."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.geometry import Geometry
from imavatar_deploy.model.head_avatar import SurfacePoints
from imavatar_deploy.model.implicit_avatar import ImplicitAvatar
from imavatar_deploy.model.sizes import NetworkSizes
from imavatar_deploy.training.losses import NEIGHBOUR_DISTANCE, smoothness_term

SIZES = NetworkSizes(
    geometry_layers=(64,) * 3,
    geometry_skip=(2,),
    geometry_frequencies=2,
    feature=4,
    deformation_layers=(8,),
    texture_layers=(8,),
)
FRAME = Frame(torch.zeros(50), torch.zeros(15))


def on_sphere(count: int, radius: float) -> SurfacePoints:
    directions = np.random.default_rng(0).normal(size=(count, 3))
    unit = torch.from_numpy(directions / np.linalg.norm(directions, axis=1, keepdims=True)).float()
    return SurfacePoints(
        radius * unit, radius * unit, unit, Geometry(torch.zeros(count), torch.zeros(count, 4))
    )


def nudges(count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(count, 3))).float()


class Ball(torch.nn.Module):
    """The exact distance of a sphere, in place of the geometry network."""

    def forward(self, x: torch.Tensor, code: torch.Tensor | None = None) -> Geometry:
        return Geometry(x.norm(dim=1) - 0.5, torch.zeros(len(x), 4))


def test_on_a_sphere_it_is_the_turn_of_the_radius(openhead: HeadModel) -> None:
    avatar = ImplicitAvatar(openhead, SIZES)
    avatar.geometry = Ball()  # type: ignore[assignment]
    term = smoothness_term(avatar, FRAME, on_sphere(4000, 0.5), nudges(4000))
    assert term.item() == pytest.approx(
        2.0 / 3.0 * (NEIGHBOUR_DISTANCE / 0.5) ** 2, rel=0.05
    )  # two of three directions turn


def test_descending_it_smooths_a_rough_surface(openhead: HeadModel) -> None:
    torch.manual_seed(0)
    avatar = ImplicitAvatar(openhead, SIZES)
    with torch.no_grad():
        for parameter in avatar.geometry.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter) * parameter.abs().mean())
    optimiser = torch.optim.Adam(avatar.geometry.parameters(), lr=1e-3)
    values = []
    for _ in range(15):
        optimiser.zero_grad()
        value = smoothness_term(avatar, FRAME, on_sphere(300, 0.5), nudges(100))
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values[-1] < 0.5 * values[0]


def test_without_surface_it_is_zero(openhead: HeadModel) -> None:
    assert (
        smoothness_term(ImplicitAvatar(openhead, SIZES), FRAME, on_sphere(0, 0.5), nudges(5)).item()
        == 0.0
    )
