"""Gradients attached to traced points, against finite differences of solved points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from imavatar_deploy.camera import Camera
from imavatar_deploy.model import VARIANTS, Frame, HeadAvatarModel, RayBundle
from imavatar_deploy.model.backward_avatar import BackwardAvatarModel
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.geometry import Geometry

pytestmark = pytest.mark.usefixtures("one_thread")

STEP = 1e-6
POINTS = 6


class Scene(NamedTuple):
    """A variant, a frame and rays through points with known canonical points, all float64."""

    model: HeadAvatarModel
    frame: Frame
    view: RayBundle
    canonical: Tensor  # [M, 3]
    deformed: Tensor  # [M, 3]

    def inputs(self) -> dict[str, list[Tensor]]:
        """Return the leaves that gradients have to reach."""
        assert self.frame.latent is not None
        return {
            "networks": list(self.model.parameters()),
            "expression": [self.frame.expression],
            "pose": [self.frame.pose],
            "latent": [self.frame.latent],
            "camera": [self.view.origin],
        }


@pytest.fixture(params=VARIANTS)
def scene(request: pytest.FixtureRequest, make_variant: Callable[..., HeadAvatarModel]) -> Scene:
    model = make_variant(request.param, latent=3).double()
    generator = torch.Generator().manual_seed(7)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    frame = Frame(normal(50) * 0.3, normal(15) * 0.2, normal(3))
    around = torch.nn.functional.normalize(normal(200, 3), dim=1) * 0.5
    with torch.no_grad():
        if isinstance(model, ForwardAvatarModel):
            canonical = around
            deformed = model.deform(around, frame.expression, frame.pose)
        else:
            assert isinstance(model, BackwardAvatarModel)
            canonical = model.canonical(around, frame)
            deformed = around
    camera = Camera(
        np.eye(3, 4, dtype=np.float32), np.array([2.0, 2.0, 0.5, 0.5], dtype=np.float32)
    )
    origin = torch.tensor([0.3, 0.2, 4.0], dtype=torch.float64)
    directions = torch.nn.functional.normalize(deformed - origin, dim=1)
    view = replace(RayBundle.of(camera, (200, 1)), origin=origin, directions=directions)
    steep = (normals(model, frame, canonical, deformed) * directions).sum(dim=1).abs() > 0.5
    few = steep.nonzero()[:POINTS, 0]
    assert len(few) == POINTS
    scene = Scene(model, frame, view.select(few), canonical[few].detach(), deformed[few].detach())
    for tensors in scene.inputs().values():
        for tensor in tensors:
            tensor.requires_grad_()
    return scene


def rows_jacobian(outputs: Tensor, x: Tensor) -> Tensor:
    """Return the Jacobian `[M, R, C]` of outputs `[M, R]`; row m depends on row m of x `[M, C]`."""
    rows = [
        torch.autograd.grad(column.sum(), x, retain_graph=True)[0]
        for column in outputs.unbind(dim=1)
    ]
    return torch.stack(rows, dim=1)


def solved(residual: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the zero of `residual` by Newton's method from x `[M, C]`."""
    for _ in range(6):
        x = x.detach().requires_grad_()
        value = residual(x)
        x = x - torch.linalg.solve(rows_jacobian(value, x), value)
    assert residual(x).abs().max() < 1e-12
    return x.detach()


def normals(model: HeadAvatarModel, frame: Frame, canonical: Tensor, deformed: Tensor) -> Tensor:
    """Return the unit normals `[M, 3]` of the deformed field."""
    code = model.geometry_code(frame)
    if isinstance(model, BackwardAvatarModel):
        x = deformed.detach().requires_grad_()
        return unit(torch.autograd.grad(model.evaluate(x, frame)[1].sdf.sum(), x)[0])
    assert isinstance(model, ForwardAvatarModel)
    x = canonical.detach().requires_grad_()
    jacobian = rows_jacobian(model.deform(x, frame.expression, frame.pose), x)
    gradient = torch.autograd.grad(model.geometry(x, code).sdf.sum(), x)[0]
    return unit(torch.linalg.solve(jacobian.transpose(1, 2), gradient))


def unit(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x, dim=1)


def solved_points(scene: Scene, level: Tensor) -> tuple[Tensor, Tensor]:
    """Return canonical and deformed intersections of the rays with the level sets `level`."""
    model = scene.model
    frame = scene.frame
    view = scene.view
    code = model.geometry_code(frame)
    if isinstance(model, BackwardAvatarModel):

        def off_level(t: Tensor) -> Tensor:
            sdf = model.evaluate(view.at(t[:, 0]), frame)[1].sdf
            return (sdf - level)[:, None]

        start = ((scene.deformed - view.origin) * view.directions).sum(dim=1, keepdim=True)
        t = solved(off_level, start)
        deformed = view.at(t[:, 0])
        return model.canonical(deformed, frame), deformed
    assert isinstance(model, ForwardAvatarModel)
    v = view.directions

    def off_ray_or_level(x: Tensor) -> Tensor:
        away = torch.linalg.cross(v, model.deform(x, frame.expression, frame.pose) - view.origin)
        return torch.cat([away[:, :2], (model.geometry(x, code).sdf - level)[:, None]], dim=1)

    canonical = solved(off_ray_or_level, scene.canonical)
    return canonical, model.deform(canonical, frame.expression, frame.pose)


def solved_values(scene: Scene, level: Tensor) -> list[Tensor]:
    canonical, deformed = solved_points(scene, level)
    normal = normals(scene.model, scene.frame, canonical, deformed)
    geometry = geometry_at(scene, canonical, deformed)
    condition = scene.model.condition(scene.frame.expression, scene.frame.pose)
    colour = scene.model.texture(canonical, normal, condition, geometry.feature)
    return [canonical, normal, *geometry, colour]


def attached_values(scene: Scene) -> list[Tensor]:
    surface = scene.model.attach_gradients(scene.canonical, scene.deformed, scene.view, scene.frame)
    return [
        surface.canonical,
        surface.normal,
        *surface.geometry,
        scene.model.colour(surface, scene.frame),
    ]


def solved_distances(scene: Scene) -> list[Tensor]:
    model = scene.model
    frame = scene.frame
    deformed = shifted(scene)
    if isinstance(model, BackwardAvatarModel):
        canonical = model.canonical(deformed, frame)
    else:
        assert isinstance(model, ForwardAvatarModel)
        canonical = solved(
            lambda x: model.deform(x, frame.expression, frame.pose) - deformed, scene.canonical
        )
    return [geometry_at(scene, canonical, deformed).sdf]


def geometry_at(scene: Scene, canonical: Tensor, deformed: Tensor) -> Geometry:
    """Return the geometry of points; that of backward variants may depend on `deformed` alone."""
    if isinstance(scene.model, BackwardAvatarModel):
        return scene.model.evaluate(deformed, scene.frame)[1]
    geometry: Geometry = scene.model.geometry(canonical, scene.model.geometry_code(scene.frame))
    return geometry


def shifted(scene: Scene) -> Tensor:
    """Return points on the rays at fixed distances from the camera."""
    distance = torch.linalg.norm(
        scene.deformed - torch.tensor([0.3, 0.2, 4.0], dtype=torch.float64), dim=1
    )
    return scene.view.at(distance)


def weighted(values: list[Tensor]) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    weights = [
        torch.randn(value.shape, generator=generator, dtype=torch.float64) for value in values
    ]
    return torch.stack(
        [(weight * value).sum() for weight, value in zip(weights, values, strict=True)]
    ).sum()


@contextmanager
def moved(tensors: list[Tensor], directions: list[Tensor], step: float) -> Iterator[None]:
    before = [tensor.detach().clone() for tensor in tensors]
    with torch.no_grad():
        for tensor, direction in zip(tensors, directions, strict=True):
            tensor.add_(direction, alpha=step)
    yield
    with torch.no_grad():
        for tensor, values in zip(tensors, before, strict=True):
            tensor.copy_(values)


def compare(scene: Scene, ours: Tensor, solve_again: Callable[[], Tensor]) -> dict[str, float]:
    """Compare derivatives of `ours` with differences of `solve_again`; return them by input."""
    inputs = scene.inputs()
    derivatives = {}
    # Moving an input invalidates the graph, so all gradients are computed first.
    gradients = {
        name: torch.autograd.grad(ours, tensors, retain_graph=True, allow_unused=True)
        for name, tensors in inputs.items()
    }
    for name, tensors in inputs.items():
        generator = torch.Generator().manual_seed(11)
        directions = [
            torch.randn(t.shape, generator=generator, dtype=torch.float64) * 0.1 for t in tensors
        ]
        pairs = zip(gradients[name], directions, strict=True)
        derivative = sum(float((g * d).sum()) for g, d in pairs if g is not None)
        ends = []
        for sign in (1.0, -1.0):
            with moved(tensors, directions, sign * STEP):
                ends.append(solve_again().item())
        assert derivative == pytest.approx(
            (ends[0] - ends[1]) / (2.0 * STEP), rel=2e-5, abs=2e-6
        ), name
        derivatives[name] = derivative
    return derivatives


def test_gradients_of_surface_points(scene: Scene) -> None:
    with torch.no_grad():
        level = geometry_at(scene, scene.canonical, scene.deformed).sdf
    ours = attached_values(scene)
    for mine, theirs in zip(ours, solved_values(scene, level), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-9, rtol=0)
    derivatives = compare(scene, weighted(ours), lambda: weighted(solved_values(scene, level)))
    assert all(abs(derivative) > 1e-3 for derivative in derivatives.values())


def test_gradients_of_distances_off_the_surface(scene: Scene) -> None:
    deformed = shifted(scene)
    ours = [scene.model.sdf_at(scene.canonical, deformed, scene.frame)]
    torch.testing.assert_close(ours, solved_distances(scene), atol=1e-9, rtol=0)
    derivatives = compare(scene, weighted(ours), lambda: weighted(solved_distances(scene)))
    assert all(abs(derivative) > 1e-4 for derivative in derivatives.values())


def test_without_gradients_the_values_are_the_same(scene: Scene) -> None:
    with torch.no_grad():
        values = attached_values(scene)
    assert not any(value.requires_grad for value in values)
    for value, differentiable in zip(values, attached_values(scene), strict=True):
        torch.testing.assert_close(value, differentiable.detach(), atol=1e-9, rtol=0)


def test_no_points(scene: Scene) -> None:
    none = torch.zeros(0, 3, dtype=torch.float64)
    view = scene.view.select(torch.zeros(0, dtype=torch.long))
    surface = scene.model.attach_gradients(none, none, view, scene.frame)
    assert surface.normal.shape == (0, 3)
    assert scene.model.colour(surface, scene.frame).shape == (0, 3)
    assert scene.model.sdf_at(none, none, scene.frame).shape == (0,)


@pytest.mark.parametrize("scene", ["c-net", "d-net", "b-morph", "hyper-nerf"], indirect=True)
def test_gradients_on_a_ray_along_the_surface_are_bounded(scene: Scene) -> None:
    model = scene.model
    frame = scene.frame
    point = scene.deformed[:1]
    normal = normals(model, frame, scene.canonical[:1], point)
    along = unit(torch.linalg.cross(normal, torch.ones_like(normal)))
    view = replace(
        scene.view.select(torch.tensor([0])), origin=(point - 4.0 * along)[0], directions=along
    )
    surface = model.attach_gradients(scene.canonical[:1], point, view, frame)
    gradients = torch.autograd.grad(
        surface.canonical.sum(), list(model.geometry.parameters()), allow_unused=True
    )
    largest = max(float(gradient.abs().max()) for gradient in gradients if gradient is not None)
    assert 1.0 < largest < 1e5
