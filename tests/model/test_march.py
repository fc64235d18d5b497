"""Marching rays: on shapes whose intersections are known, on a small avatar, and beside official renders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from imavatar_deploy.camera import Camera
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.head_avatar import Correspondences
from imavatar_deploy.model.tracing import TRACERS, MarchTracer
from imavatar_deploy.model.tracing.tracer import cross

from .. import shapes
from .moving_sphere import calm, moving_sphere

pytestmark = pytest.mark.usefixtures("one_thread")

CAMERA = Camera.looking_at((0.0, 0.0, 0.0), distance=4.0, extent=2.8, yaw=0.2)
SHIFT = torch.tensor([0.25, 0.0, 0.0])


class Shape:
    """What a tracer asks of a model, whatever its direction: a shape moved by SHIFT; no roots behind `wall`."""

    def __init__(self, distance: Callable[[Tensor], Tensor], wall: float = -9.0) -> None:
        self.distance = distance
        self.wall = wall
        self.asked = 0

    def find_canonical(self, points: Tensor, frame: Frame) -> Correspondences:
        self.asked += len(points)
        canonical = points - SHIFT
        valid = points[:, 1] > self.wall
        return Correspondences(canonical, torch.where(valid, self.distance(canonical), 1.0), valid)


def trace(shape: Any, view: RayBundle, **options: Any) -> Any:
    return MarchTracer().trace(shape, calm(), view, **options)


def sphere_distance(view: RayBundle, radius: float = 0.7) -> tuple[Tensor, Tensor]:
    """Distance to the nearer intersection with the shifted sphere, and whether there is one."""
    origin = view.origin - SHIFT
    along = -(view.directions @ origin)
    squared = along.square() - origin @ origin + radius**2
    return along - squared.clamp(min=0.0).sqrt(), squared > 0


@pytest.fixture
def view() -> RayBundle:
    return RayBundle.of(CAMERA, (24, 24))


def test_march_is_in_the_table() -> None:
    assert TRACERS["march"] is MarchTracer


def test_where_a_sphere_is_met(view: RayBundle) -> None:
    traced = trace(Shape(shapes.sphere), view)
    distance, inside = sphere_distance(view)
    # A ray that grazes the sphere between two samples may miss it.
    grazing = sphere_distance(view, 0.699)[1] != sphere_distance(view, 0.701)[1]
    assert (traced.hit == inside)[~grazing].all()
    assert 100 < traced.hit.sum() < 300
    hit = traced.hit
    torch.testing.assert_close(traced.deformed[hit], view.at(distance)[hit], atol=2e-5, rtol=0)
    torch.testing.assert_close(traced.canonical, traced.deformed - SHIFT)
    assert traced.sdf[hit].abs().max() < 1e-5
    assert traced.valid.all()


def test_the_first_of_several_layers_is_met(view: RayBundle) -> None:
    traced = trace(Shape(shapes.torus), view)
    samples = torch.linspace(2.5, 5.5, 600)
    points = view.origin + samples[None, :, None] * view.directions[:, None] - SHIFT
    inside = (shapes.torus(points.reshape(-1, 3)) < -0.01).reshape(len(view), -1)
    first = samples[inside.int().argmax(dim=1)]
    hit = inside.any(dim=1)
    assert traced.hit[hit].all()
    travelled = (traced.deformed - view.origin).norm(dim=1)
    assert (travelled < first + 0.01)[hit].all()
    assert traced.sdf[hit].abs().max() < 1e-5


def test_a_miss_keeps_its_nearest_sample(view: RayBundle) -> None:
    traced = trace(Shape(shapes.sphere), view)
    crossing = cross(view)
    missed = ~traced.hit & crossing.inside
    fractions = torch.linspace(0, 1, 100)
    distance = crossing.near[:, None] + fractions * (crossing.far - crossing.near)[:, None]
    points = view.origin + distance[..., None] * view.directions[:, None]
    smallest = shapes.sphere((points - SHIFT).reshape(-1, 3)).reshape(-1, 100).amin(dim=1)
    torch.testing.assert_close(traced.sdf[missed], smallest[missed])
    assert missed.any()


def test_rays_outside_the_bounding_sphere_stay_where_they_come_nearest() -> None:
    view = RayBundle.of(Camera.looking_at((0.0, 0.0, 0.0), distance=4.0, extent=5.0), (16, 16))
    traced = trace(Shape(lambda x: x.norm(dim=1) - 3.0), view)
    outside = ~cross(view).inside
    assert outside.any()
    assert not traced.hit[outside].any()
    assert (traced.deformed[outside] * view.directions[outside]).sum(dim=1).abs().max() < 1e-5
    assert traced.valid[outside].all()
    torch.testing.assert_close(
        traced.sdf, shapes_sdf := (traced.canonical.norm(dim=1) - 3.0), atol=1e-6, rtol=0
    )
    assert (shapes_sdf < 0).all()


def test_a_ray_born_inside_is_met_where_it_begins(view: RayBundle) -> None:
    traced = trace(Shape(lambda x: x.norm(dim=1) - 3.0), view)
    crossing = cross(view)
    assert (traced.hit == crossing.inside).all()
    entered = view.at(crossing.near)[traced.hit]
    torch.testing.assert_close(traced.deformed[traced.hit], entered, atol=1e-6, rtol=0)


def test_a_camera_inside_the_sphere_looks_ahead_only() -> None:
    view = RayBundle.of(Camera.looking_at((0.0, 0.0, 0.0), distance=0.5), (8, 8))
    crossing = cross(view)
    assert (crossing.near == 0).all()
    assert crossing.inside.all()
    turned = RayBundle(view.camera, view.size, view.pixels, 3.0 * view.origin, -view.directions)
    assert not cross(turned).inside.any()


def test_rays_that_are_not_foreground_keep_their_smallest_distance(view: RayBundle) -> None:
    foreground = torch.arange(len(view)) % 2 == 0
    shape = Shape(shapes.sphere)
    traced = trace(shape, view, foreground=foreground)
    plain = trace(shape, view)
    assert (traced.hit == plain.hit).all()
    for ours, theirs in zip(traced, plain, strict=True):
        assert (ours == theirs)[foreground].all()
    inner = traced.hit & ~foreground
    assert (traced.sdf[inner] < -1e-3).float().mean() > 0.9
    middle = view.at(
        -(view.directions @ (view.origin - SHIFT))
    )  # the deepest point of a sphere on a ray
    torch.testing.assert_close(traced.deformed[inner], middle[inner], atol=0.015, rtol=0)


def test_points_without_root_are_no_surface(view: RayBundle) -> None:
    traced = trace(Shape(shapes.sphere, wall=0.1), view)
    assert traced.valid[traced.hit].all()
    assert (traced.deformed[traced.hit][:, 1] > 0.1).all()
    low = ~traced.valid
    assert low.any()
    assert (traced.sdf[low] == 1.0).all()
    assert not traced.hit[low].any()


def test_a_ray_is_not_followed_past_its_surface(view: RayBundle) -> None:
    seen_through = Shape(shapes.sphere)
    solid = Shape(lambda x: x.norm(dim=1) - 1.0)
    trace(seen_through, view)
    trace(solid, view)
    assert solid.asked < 0.6 * 100 * len(view)
    assert solid.asked < seen_through.asked


def test_many_rays_are_followed_in_parts() -> None:
    view = RayBundle.of(CAMERA, (90, 90))
    traced = trace(Shape(shapes.sphere), view)
    some = torch.arange(0, len(view), 7)
    for ours, theirs in zip(traced, trace(Shape(shapes.sphere), view.select(some)), strict=True):
        assert (ours[some] == theirs).all()


def test_no_rays(view: RayBundle) -> None:
    traced = trace(moving_sphere(), view.select(torch.arange(0)))
    assert [len(part) for part in traced] == [0] * 5


def test_surface_of_a_moving_avatar() -> None:
    avatar = moving_sphere()
    frame = calm()
    view = RayBundle.of(CAMERA, (12, 12))
    view = RayBundle(
        view.camera, view.size, view.pixels, view.origin.requires_grad_(), view.directions
    )
    traced = MarchTracer().trace(avatar, frame, view)
    assert not any(part.requires_grad for part in traced)
    assert 20 < traced.hit.sum() < 120
    with torch.no_grad():
        torch.testing.assert_close(
            avatar.deform(traced.canonical, *frame[:2]), traced.deformed, atol=2e-5, rtol=0
        )
        assert avatar.geometry(traced.canonical[traced.hit]).sdf.abs().max() < 1e-4
        along = torch.linalg.cross(traced.deformed - view.origin, view.directions).norm(dim=1)
    assert along.max() < 1e-5


@pytest.mark.parametrize("name", ["strong_001_64", "talk_021_64", "talk_099_64"])
def test_official_rays(official: ImplicitAvatar, reference: Path, name: str) -> None:
    """Every 67th ray of a frame; benchmarks/implicit_frames.py takes them all."""
    with np.load(reference / "golden" / f"f_render_{name}.npz") as data:
        golden = {key: torch.from_numpy(data[key]) for key in data.files if data[key].ndim}
    fx, fy, cx, cy = (
        float(golden["intrinsics"][index]) / 64 for index in ((0, 0), (1, 1), (0, 2), (1, 2))
    )
    camera = Camera(np.linalg.inv(golden["cam_pose"].numpy())[:3], np.array([abs(fx), fy, cx, cy]))
    some = torch.arange(5, 4096, 67)
    view = RayBundle.of(camera, (64, 64)).select(some)
    frame = Frame(golden["expression"], golden["flame_pose"])
    traced = MarchTracer().trace(official, frame, view)
    expected = {
        key: golden[key][some]
        for key in ("network_object_mask", "valid_mask", "points", "sdf_output")
    }
    assert (traced.hit == expected["network_object_mask"]).all()
    assert (traced.valid == expected["valid_mask"]).all()
    apart = (traced.deformed - expected["points"]).norm(dim=1)[traced.hit]
    assert apart.median() < 2e-6
    assert apart.max() < 3e-4
    torch.testing.assert_close(traced.sdf, expected["sdf_output"], atol=2e-5, rtol=0)
    seen = traced.hit
    with torch.no_grad():
        points = official.attach_gradients(
            traced.canonical[seen], traced.deformed[seen], view.select(seen), frame
        )
        rgb = official.colour(points, frame)
    error = rgb - (golden["rgb_values"][some][seen] + 1.0) / 2.0
    assert -10.0 * error.square().mean().log10() > 40.0
    cosine = (points.normal * golden["normal_values"][some][seen]).sum(dim=1)
    assert cosine.median() > 0.99999
    assert cosine.min() > 0.99


def test_official_training_rays(official: ImplicitAvatar, reference: Path) -> None:
    """A third of the published step's rays, all that hit outside of the mask among them."""
    with np.load(reference / "golden" / "g_train_step.npz") as data:
        numbers = [key for key in data.files if data[key].ndim and data[key].dtype.kind != "U"]
        golden = {key: torch.from_numpy(data[key]) for key in numbers}
        size = int(data["img_res"])
    fx, fy, cx, cy = (
        float(golden["intrinsics"][index]) / size for index in ((0, 0), (1, 1), (0, 2), (1, 2))
    )
    camera = Camera(
        np.column_stack([np.eye(3), -golden["camera_center"].numpy()]),
        np.array([abs(fx), fy, cx, cy]),
    )
    strays = golden["network_object_mask"] & ~golden["object_mask"]
    some = (strays | (torch.arange(256) % 3 == 0)).nonzero()[:, 0]
    assert strays.any()
    view = RayBundle.of(camera, (size, size), golden["uv"].long()).select(some)
    foreground = golden["object_mask"][some]
    traced = MarchTracer().trace(
        official, Frame(golden["expression"], golden["flame_pose"]), view, foreground=foreground
    )
    assert (traced.hit == golden["network_object_mask"][some]).all()
    assert (traced.valid == golden["valid_mask"][some]).all()
    torch.testing.assert_close(traced.deformed, golden["points"][some], atol=3e-4, rtol=0)
    torch.testing.assert_close(traced.sdf, golden["sdf_output"][some, 0], atol=2e-5, rtol=0)
