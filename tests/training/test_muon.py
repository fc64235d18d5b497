"""Muon: its updates are nearly orthogonal, and it converges to the minimum."""

from __future__ import annotations

import pytest
import torch

from imavatar_deploy.training.muon import Muon, is_hidden_matrix, orthogonal


@pytest.mark.parametrize("shape", [(32, 32), (48, 24), (24, 48)])
def test_singular_values_are_levelled(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(0, -2, shape[1]))
    before = torch.linalg.svdvals(matrix / matrix.norm())
    after = torch.linalg.svdvals(orthogonal(matrix))
    assert before.quantile(0.25) < 0.05
    assert after.quantile(0.25) > 0.4
    assert after.max() < 2.0


def test_direction_is_preserved() -> None:
    torch.manual_seed(1)
    u, _, v = torch.linalg.svd(torch.randn(20, 20))
    stretched = u @ torch.diag(torch.linspace(0.5, 3.0, 20)) @ v
    assert (
        torch.nn.functional.cosine_similarity(orthogonal(stretched).ravel(), (u @ v).ravel(), dim=0)
        > 0.85
    )


def test_only_wide_matrices_are_for_muon() -> None:
    assert is_hidden_matrix(torch.zeros(512, 39))
    assert not is_hidden_matrix(torch.zeros(512))
    assert not is_hidden_matrix(torch.zeros(512, 1))
    assert not is_hidden_matrix(torch.zeros(3, 512))


def test_it_minimises_and_its_state_can_be_saved() -> None:
    torch.manual_seed(2)
    inputs, targets = torch.randn(256, 32), torch.randn(256, 32)
    best = torch.linalg.lstsq(inputs, targets).solution
    weight = torch.nn.Parameter(torch.zeros(32, 32))
    optimiser = Muon([weight], lr=0.05)
    for step in range(200):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / 200)
        optimiser.zero_grad()
        (inputs @ weight - targets).square().mean().backward()
        optimiser.step()
    assert (weight - best).norm() < 0.05 * best.norm()
    assert optimiser.state_dict()["state"][0]["mean"].shape == (32, 32)
