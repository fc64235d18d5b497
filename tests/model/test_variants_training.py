"""Every variant: rendering, a short training towards a toy target, and meshes of frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.model import VARIANTS, Frame, HeadAvatarModel, RayBundle
from imavatar_deploy.model.radiance_field import RadianceFieldModel
from imavatar_deploy.model.render import render
from imavatar_deploy.model.surface import posed_surface
from imavatar_deploy.model.tracing import MarchTracer, TraceResult

pytestmark = pytest.mark.usefixtures("one_thread")

MakeVariant = Callable[..., HeadAvatarModel]

CAMERA = Camera(
    np.hstack([np.eye(3), [[0.0], [0.0], [-4.0]]]).astype(np.float32),
    np.array([2.0, 2.0, 0.5, 0.5], np.float32),
)
TARGET = torch.tensor([0.9, 0.2, 0.1])
TARGET_RADIUS = 0.35
"""Radius of the target, a red disk, in model units; smaller than the initial sphere."""


def turned(yaw: float = 0.0, smile: float = 0.0) -> Frame:
    """Return the canonical pose with a rotation of the neck about +Y and the first expression."""
    pose = torch.from_numpy(canonical_pose())
    pose[4] = yaw
    return Frame(torch.eye(50)[0] * smile, pose)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_renders(make_variant: MakeVariant, name: str) -> None:
    model = make_variant(name, noise=0.0)
    picture = render(model, turned(0.3, 1.0), CAMERA, (24, 24), MarchTracer())
    corners = ([0, 0, -1, -1], [0, -1, 0, -1])
    assert picture.mask[12, 12]
    assert not picture.mask[corners].any()
    if isinstance(model, RadianceFieldModel):  # its outline fades into the background
        assert (picture.rgb[corners] == 1.0).all()
        assert (picture.rgb[~picture.mask] > 0.5 * picture.rgb[picture.mask].min()).all()
    else:
        assert (picture.rgb[~picture.mask] == 1.0).all()
    assert picture.rgb[picture.mask].std() > 0.0
    assert picture.normal[12, 12] @ [0.0, 0.0, 1.0] > 0.8
    assert picture.depth[12, 12] == pytest.approx(4.0 - picture.deformed[12, 12, 2], abs=1e-5)


def loss_of(
    model: HeadAvatarModel, frame: Frame, view: RayBundle, traced: TraceResult, mask: Tensor
) -> Tensor:
    """Return the colour loss on the surface plus the published mask loss off it."""
    surface = traced.hit & mask & traced.valid
    points = model.attach_gradients(
        traced.canonical[surface], traced.deformed[surface], view.select(surface), frame
    )
    colour = (model.colour(points, frame) - TARGET).abs().sum()
    off = traced.valid & ~surface
    logits = -50.0 * model.sdf_at(traced.canonical[off], traced.deformed[off], frame)
    mask_term = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, mask[off].float(), reduction="sum"
    )
    return (colour + 2.0 * mask_term) / len(view)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_learns_a_toy_target(make_variant: MakeVariant, name: str) -> None:
    model = make_variant(name, noise=0.0).train()
    frame = turned(0.2, 0.5)
    tracer = MarchTracer(samples=30)
    view = RayBundle.of(CAMERA, (8, 8))
    mask = view.at(torch.full((64,), 4.0))[:, :2].norm(dim=1) < TARGET_RADIUS
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for step in range(30):
        if step % 3 == 0:
            traced = tracer.trace(model, frame, view, foreground=mask)
        loss = loss_of(model, frame, view, traced, mask)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3])


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_has_a_mesh_for_each_expression(make_variant: MakeVariant, name: str) -> None:
    model = make_variant(name, noise=0.01)
    frame = turned(0.4, 1.0)
    mesh = posed_surface(model, frame, resolution=64)
    assert len(mesh.vertices) > 500
    assert mesh.open_edges() == 0
    roots = model.find_canonical(torch.from_numpy(mesh.vertices), frame)
    # The sphere may cut the field.
    inside = torch.from_numpy(np.linalg.norm(mesh.vertices, axis=1)) < 1.15
    assert roots.valid[inside].float().mean() > 0.95
    assert roots.sdf[inside & roots.valid].abs().median() < 0.01  # a cell is 0.04 wide
    other = posed_surface(model, turned(-0.4, -1.0), resolution=64)
    moved = np.abs(mesh.vertices.mean(axis=0) - other.vertices.mean(axis=0)).max()
    assert moved > 1e-3


def test_errors_of_posed_surface(make_variant: MakeVariant) -> None:
    model = make_variant("d-net")
    with pytest.raises(UsageError, match="resolution must be one of 64, 128, 256, 512, got 100"):
        posed_surface(model, turned(), resolution=100)
    with torch.no_grad():
        model.geometry.layers[-1].bias[0] = 100.0
    with pytest.raises(InputError, match="no surface inside the bounding sphere"):
        posed_surface(model, turned(), resolution=64)
