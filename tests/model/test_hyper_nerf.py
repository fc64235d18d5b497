"""The radiance field: screw motions, quadrature, sampling of rays, gradients and a toy training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import UsageError
from imavatar_deploy.model import Frame, HeadAvatarModel, RayBundle, radiance_field
from imavatar_deploy.model.radiance_field import (
    DENSITY,
    RadianceFieldModel,
    density,
    draw_distances,
    ray_weights,
)
from imavatar_deploy.model.render import render
from imavatar_deploy.model.tracing import MarchTracer, RasterTracer
from imavatar_deploy.model.tracing.tracer import cross
from imavatar_deploy.model.variants.hyper_nerf import HyperNeRF, screw_motion

pytestmark = pytest.mark.usefixtures("one_thread")

MakeVariant = Callable[..., HeadAvatarModel]

CAMERA = Camera(
    np.hstack([np.eye(3), [[0.0], [0.0], [-4.0]]]).astype(np.float32),
    np.array([2.0, 2.0, 0.5, 0.5], np.float32),
)


def some_frame(seed: int = 2, dtype: torch.dtype = torch.float32) -> Frame:
    generator = torch.Generator().manual_seed(seed)
    return Frame(
        torch.randn(50, generator=generator, dtype=dtype) * 0.3,
        torch.randn(15, generator=generator, dtype=dtype) * 0.2,
    )


def hyper_nerf(make_variant: MakeVariant, **options: float) -> HyperNeRF:
    model = make_variant("hyper-nerf", **options)
    assert isinstance(model, HyperNeRF)
    return model


# Warp and slices


def test_a_screw_motion_is_the_exponential_of_its_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    x, rotation, translation = (
        torch.randn(20, 3, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    rotation[:4] *= 1e-3
    matrix = torch.zeros(20, 4, 4, dtype=torch.float64)
    for column in range(3):
        unit = torch.eye(3, dtype=torch.float64)[column].expand(20, 3)
        matrix[:, :3, column] = torch.linalg.cross(rotation, unit)
    matrix[:, :3, 3] = translation
    moved = torch.matrix_exp(matrix) @ torch.cat([x, torch.ones(20, 1)], dim=1)[..., None]
    torch.testing.assert_close(
        screw_motion(x, rotation, translation), moved[:, :3, 0], atol=1e-7, rtol=0
    )


def test_a_screw_motion_without_rotation_is_a_translation_with_finite_gradients() -> None:
    x = torch.randn(5, 3)
    rotation = torch.zeros(5, 3, requires_grad=True)
    moved = screw_motion(x, rotation, torch.full((5, 3), 0.5))
    torch.testing.assert_close(moved, x + 0.5)
    moved[:, 0].sum().backward()
    assert rotation.grad is not None
    # d/dr of r x x is what remains at zero, but for the share of the translation's arc.
    around_y = x[:, 2] + 0.25
    torch.testing.assert_close(rotation.grad[:, 1], around_y, atol=1e-3, rtol=1e-3)


def test_the_same_point_of_the_template_differs_by_its_ambient_coordinates(
    make_variant: MakeVariant, points: Tensor
) -> None:
    """HyperNeRF: what a warp alone cannot express, a mouth that opens."""
    model = hyper_nerf(make_variant, noise=0.1)
    frame = some_frame()
    with torch.no_grad():
        canonical, geometry = model.evaluate(points, frame)
        at_zero = model.geometry(canonical, model.geometry_code(frame))
        torch.testing.assert_close(canonical, model.canonical(points, frame))
        assert (geometry.sdf - at_zero.sdf).abs().max() > 1e-3
        model.slicing.output.weight.zero_()
        model.slicing.output.bias.zero_()
        torch.testing.assert_close(model.evaluate(points, frame)[1].sdf, at_zero.sdf)


# Quadrature


def test_weights_of_constant_density_are_those_of_an_exponential() -> None:
    weights = ray_weights(torch.full((1, 100), 3.0), torch.full((1, 100), 0.01))
    assert weights.sum().item() == pytest.approx(1.0 - math.exp(-3.0), abs=1e-6)
    assert (weights[0, 50] / weights[0, 0]).item() == pytest.approx(math.exp(-1.5), rel=1e-5)


def test_an_opaque_sample_hides_what_is_behind() -> None:
    weights = ray_weights(torch.tensor([[0.0, 1e6, 1e6]]), torch.ones(1, 3))
    assert weights[0].tolist() == [0.0, 1.0, 0.0]


def test_density_is_linear_inside_and_none_outside() -> None:
    values = density(torch.tensor([0.1, 0.0, -0.1]))
    assert values[0] < 0.01
    assert values[1].item() == pytest.approx(DENSITY * math.log(2.0) / 100.0, rel=1e-5)
    assert values[2].item() == pytest.approx(0.1 * DENSITY, rel=1e-5)


def test_samples_are_drawn_where_the_weights_are() -> None:
    edges = torch.linspace(1.0, 3.0, 11).expand(2, -1)  # intervals of 0.2
    weights = torch.zeros(2, 10)
    weights[0, 4] = 1.0  # from 1.8 to 2.0
    drawn = draw_distances(edges, weights, 40, torch.tensor([0.0, 0.99]))
    assert (drawn.diff(dim=1) >= 0.0).all()
    near = (drawn[0] > 1.6) & (drawn[0] < 2.2)
    assert near.float().mean() > 0.9
    assert drawn[1].min() < 1.1  # no weights: evenly
    assert drawn[1].max() > 2.9
    assert drawn[1].diff().std() < 0.01


# Images


def test_a_sphere_is_seen_where_it_is(make_variant: MakeVariant) -> None:
    model = hyper_nerf(make_variant, noise=0.0)
    frame = Frame(torch.zeros(50), torch.from_numpy(canonical_pose()))
    view = RayBundle.of(CAMERA, (17, 17))
    with torch.no_grad():
        seen = model.integrate(view, frame, 128)
        depths = torch.linspace(2.8, 4.0, 500)
        levels = model.geometry(view.select(torch.tensor([8 * 17 + 8])).at(depths)).sdf
    middle, corner = 8 * 17 + 8, 0
    assert seen.opacity[middle] > 0.99
    assert seen.opacity[corner] == 0.0
    surface = depths[(levels < 0.0).nonzero()[0, 0]].item()
    assert seen.distance[middle].item() == pytest.approx(surface, abs=0.02)
    assert ((seen.colour <= seen.opacity[:, None] + 1e-6) & (seen.colour >= 0.0)).all()
    over_black = render(model, frame, CAMERA, (17, 17), MarchTracer(samples=128), background=0.0)
    assert (over_black.rgb.reshape(-1, 3) == seen.colour.numpy()).all()
    assert (over_black.mask.reshape(-1) == (seen.opacity > 0.5).numpy()).all()


def test_turning_head_and_camera_together_changes_nothing(make_variant: MakeVariant) -> None:
    """Directions are those in the space of the resting head."""
    model = hyper_nerf(make_variant, noise=0.0)
    pose = torch.from_numpy(canonical_pose())
    turned = pose.clone()
    turned[4] = 0.5
    head = model.bones.row("neck")
    posed = model.transforms(torch.zeros(50), turned)[head]
    rest = model.canonical_transforms[head]
    view = RayBundle.of(CAMERA, (9, 9))
    rotation = posed[:, :3] @ rest[:, :3].T
    origin = rotation @ (view.origin - rest[:, 3]) + posed[:, 3]
    moved = replace(view, origin=origin, directions=view.directions @ rotation.T)
    frames = Frame(torch.zeros(50), pose), Frame(torch.zeros(50), turned)
    towards = [
        model.head_directions(rays.directions, frame)
        for rays, frame in zip((view, moved), frames, strict=True)
    ]
    torch.testing.assert_close(towards[0], towards[1], atol=1e-6, rtol=0)
    assert (view.directions - moved.directions).abs().max() > 0.1
    points = torch.rand(30, 3) - 0.5
    carried = (points - rest[:, 3]) @ rotation.T + posed[:, 3]
    torch.testing.assert_close(model.canonical(carried, frames[1]), points, atol=1e-5, rtol=0)


def test_the_raster_tracer_is_refused(make_variant: MakeVariant) -> None:
    with pytest.raises(UsageError, match="hyper-nerf is rendered by samples on rays"):
        render(make_variant("hyper-nerf"), some_frame(), CAMERA, (8, 8), RasterTracer(64))


# Gradients and training


def test_gradients_are_those_of_the_integral(
    make_variant: MakeVariant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against differences, at fixed distances: these are drawn and have no gradient."""
    model = hyper_nerf(make_variant, latent=3).double()
    frame = some_frame(dtype=torch.float64)._replace(latent=torch.zeros(3, dtype=torch.float64))
    bundle = RayBundle.of(CAMERA, (6, 6))
    origin = torch.tensor([0.1, 0.05, 4.0], dtype=torch.float64)
    view = replace(bundle, origin=origin, directions=bundle.directions.double())
    inputs = {
        "warp": list(model.warp.parameters()),
        "slicing": list(model.slicing.parameters()),
        "geometry": list(model.geometry.parameters()),
        "texture": list(model.texture.parameters()),
        "expression": [frame.expression],
        "pose": [frame.pose],
        "latent": [frame.latent],
        "camera": [origin],
    }
    for tensors in inputs.values():
        for tensor in tensors:
            tensor.requires_grad_()
    real = RadianceFieldModel._distances
    drawn: list[Tensor] = []

    def fixed(self: RadianceFieldModel, *arguments: object) -> Tensor:
        if not drawn:
            drawn.append(real(self, *arguments))  # type: ignore[arg-type]
        return drawn[0]

    ends = cross(view)
    monkeypatch.setattr(RadianceFieldModel, "_distances", fixed)
    monkeypatch.setattr(radiance_field, "cross", lambda rays: ends)

    def value() -> Tensor:
        seen = model.integrate(view, frame, 64)
        return (seen.colour.sum(dim=1) * torch.linspace(0.5, 1.0, 36)).sum() + seen.opacity.sum()

    ours = value()
    gradients = {
        name: torch.autograd.grad(ours, tensors, retain_graph=True, allow_unused=True)
        for name, tensors in inputs.items()
    }
    for name, tensors in inputs.items():
        generator = torch.Generator().manual_seed(11)
        directions = [torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in tensors]
        pairs = zip(gradients[name], directions, strict=True)
        derivative = sum(float((g * d).sum()) for g, d in pairs if g is not None)
        values = []
        for step in (1e-7, -1e-7):
            with torch.no_grad():
                for tensor, direction in zip(tensors, directions, strict=True):
                    tensor.add_(direction, alpha=step)
                values.append(value().item())
                for tensor, direction in zip(tensors, directions, strict=True):
                    tensor.sub_(direction, alpha=step)
        assert derivative == pytest.approx((values[0] - values[1]) / 2e-7, rel=1e-4, abs=1e-5), name
        assert abs(derivative) > 1e-4, name


def test_rays_that_miss_the_sphere_see_nothing_and_every_network_has_a_gradient(
    make_variant: MakeVariant,
) -> None:
    model = hyper_nerf(make_variant)
    view = RayBundle.of(CAMERA, (4, 4))
    away = replace(view, directions=-view.directions)
    seen = model.integrate(away, some_frame(), 16)
    assert (seen.opacity == 0.0).all()
    assert (seen.colour == 0.0).all()
    seen.colour.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_learns_a_toy_image_by_its_integrals(make_variant: MakeVariant) -> None:
    model = hyper_nerf(make_variant, noise=0.0).train()
    frame = some_frame()
    view = RayBundle.of(CAMERA, (10, 10))
    inside = view.at(torch.full((100,), 4.0))[:, :2].norm(dim=1) < 0.35
    target = torch.where(inside[:, None], torch.tensor([0.9, 0.2, 0.1]), torch.ones(3))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(40):
        seen = model.integrate(view, frame, 48, jitter=torch.rand(100, generator=generator))
        colour = (seen.colour + (1.0 - seen.opacity)[:, None] - target).abs().sum(dim=1)
        opacity = 0.001 + 0.998 * seen.opacity
        mask = torch.nn.functional.binary_cross_entropy(opacity, inside.float())
        loss = colour.mean() + mask
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < 0.4 * np.mean(losses[:3])
