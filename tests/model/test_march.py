"""MarchTracer: shapes with known intersections, a small avatar, and official renders."""

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
    """A model of a shape translated by `SHIFT`, without roots below `wall`."""

    def __init__(self, distance: Callable[[Tensor], Tensor], wall: float = -9.0) -> None:
        self.distance = distance
        self.wall = wall
        self.evaluations = 0

    def find_canonical(self, points: Tensor, frame: Frame) -> Correspondences:
        self.evaluations += len(points)
        canonical = points - SHIFT
        valid = points[:, 1] > self.wall
        return Correspondences(canonical, torch.where(valid, self.distance(canonical), 1.0), valid)


def trace(shape: Any, view: RayBundle, **options: Any) -> Any:
    return MarchTracer().trace(shape, calm(), view, **options)


def sphere_distance(view: RayBundle, radius: float = 0.7) -> tuple[Tensor, Tensor]:
    """Return the distance to the nearer intersection with the sphere, and whether there is one."""
    origin = view.origin - SHIFT
    along = -(view.directions @ origin)
    squared = along.square() - origin @ origin + radius**2
    return along - squared.clamp(min=0.0).sqrt(), squared > 0


@pytest.fixture
def view() -> RayBundle:
    return RayBundle.of(CAMERA, (24, 24))


def test_march_is_in_the_table() -> None:
    assert TRACERS["march"] is MarchTracer


def test_intersections_with_a_sphere(view: RayBundle) -> None:
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


def test_the_first_of_several_layers_is_hit(view: RayBundle) -> None:
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


def test_a_miss_returns_its_nearest_sample(view: RayBundle) -> None:
    traced = trace(Shape(shapes.sphere), view)
    crossing = cross(view)
    missed = ~traced.hit & crossing.inside
    fractions = torch.linspace(0, 1, 100)
    distance = crossing.near[:, None] + fractions * (crossing.far - crossing.near)[:, None]
    points = view.origin + distance[..., None] * view.directions[:, None]
    smallest = shapes.sphere((points - SHIFT).reshape(-1, 3)).reshape(-1, 100).amin(dim=1)
    torch.testing.assert_close(traced.sdf[missed], smallest[missed])
    assert missed.any()


def test_rays_outside_the_bounding_sphere_return_their_nearest_point() -> None:
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


def test_a_ray_that_starts_inside_hits_at_its_start(view: RayBundle) -> None:
    traced = trace(Shape(lambda x: x.norm(dim=1) - 3.0), view)
    crossing = cross(view)
    assert (traced.hit == crossing.inside).all()
    entered = view.at(crossing.near)[traced.hit]
    torch.testing.assert_close(traced.deformed[traced.hit], entered, atol=1e-6, rtol=0)


def test_intersections_behind_the_camera_are_ignored() -> None:
    view = RayBundle.of(Camera.looking_at((0.0, 0.0, 0.0), distance=0.5), (8, 8))
    crossing = cross(view)
    assert (crossing.near == 0).all()
    assert crossing.inside.all()
    turned = RayBundle(view.camera, view.size, view.pixels, 3.0 * view.origin, -view.directions)
    assert not cross(turned).inside.any()


def test_background_rays_return_their_smallest_distance(view: RayBundle) -> None:
    foreground = torch.arange(len(view)) % 2 == 0
    shape = Shape(shapes.sphere)
    traced = trace(shape, view, foreground=foreground)
    plain = trace(shape, view)
    assert (traced.hit == plain.hit).all()
    for ours, theirs in zip(traced, plain, strict=True):
        assert (ours == theirs)[foreground].all()
    inner = traced.hit & ~foreground
    assert (traced.sdf[inner] < -1e-3).float().mean() > 0.9
    # The deepest point of a sphere on a ray.
    middle = view.at(-(view.directions @ (view.origin - SHIFT)))
    torch.testing.assert_close(traced.deformed[inner], middle[inner], atol=0.015, rtol=0)


def test_points_without_root_are_no_surface(view: RayBundle) -> None:
    traced = trace(Shape(shapes.sphere, wall=0.1), view)
    assert traced.valid[traced.hit].all()
    assert (traced.deformed[traced.hit][:, 1] > 0.1).all()
    low = ~traced.valid
    assert low.any()
    assert (traced.sdf[low] == 1.0).all()
    assert not traced.hit[low].any()


def test_rays_end_at_their_surface(view: RayBundle) -> None:
    small_sphere = Shape(shapes.sphere)
    large_sphere = Shape(lambda x: x.norm(dim=1) - 1.0)
    trace(small_sphere, view)
    trace(large_sphere, view)
    assert large_sphere.evaluations < 0.6 * 100 * len(view)
    assert large_sphere.evaluations < small_sphere.evaluations


def test_many_rays_are_traced_in_chunks() -> None:
    view = RayBundle.of(CAMERA, (90, 90))
    traced = trace(Shape(shapes.sphere), view)
    rays = torch.arange(0, len(view), 7)
    for ours, theirs in zip(traced, trace(Shape(shapes.sphere), view.select(rays)), strict=True):
        assert (ours[rays] == theirs).all()


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
    """Every 67th ray of a frame; benchmarks/implicit_frames.py compares all of them."""
    with np.load(reference / "golden" / f"f_render_{name}.npz") as data:
        golden = {key: torch.from_numpy(data[key]) for key in data.files if data[key].ndim}
    fx, fy, cx, cy = (
        float(golden["intrinsics"][index]) / 64 for index in ((0, 0), (1, 1), (0, 2), (1, 2))
    )
    camera = Camera(np.linalg.inv(golden["cam_pose"].numpy())[:3], np.array([abs(fx), fy, cx, cy]))
    rays = torch.arange(5, 4096, 67)
    view = RayBundle.of(camera, (64, 64)).select(rays)
    frame = Frame(golden["expression"], golden["flame_pose"])
    traced = MarchTracer().trace(official, frame, view)
    expected = {
        key: golden[key][rays]
        for key in ("network_object_mask", "valid_mask", "points", "sdf_output")
    }
    assert (traced.hit == expected["network_object_mask"]).all()
    assert (traced.valid == expected["valid_mask"]).all()
    apart = (traced.deformed - expected["points"]).norm(dim=1)[traced.hit]
    assert apart.median() < 2e-6
    assert apart.max() < 3e-4
    torch.testing.assert_close(traced.sdf, expected["sdf_output"], atol=2e-5, rtol=0)
    hit = traced.hit
    with torch.no_grad():
        points = official.attach_gradients(
            traced.canonical[hit], traced.deformed[hit], view.select(hit), frame
        )
        rgb = official.colour(points, frame)
    error = rgb - (golden["rgb_values"][rays][hit] + 1.0) / 2.0
    assert -10.0 * error.square().mean().log10() > 40.0
    cosine = (points.normal * golden["normal_values"][rays][hit]).sum(dim=1)
    assert cosine.median() > 0.99999
    assert cosine.min() > 0.99


def test_official_training_rays(official: ImplicitAvatar, reference: Path) -> None:
    """A third of the rays of the published step, including all hits outside of the mask."""
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
    rays = (strays | (torch.arange(256) % 3 == 0)).nonzero()[:, 0]
    assert strays.any()
    view = RayBundle.of(camera, (size, size), golden["uv"].long()).select(rays)
    foreground = golden["object_mask"][rays]
    traced = MarchTracer().trace(
        official, Frame(golden["expression"], golden["flame_pose"]), view, foreground=foreground
    )
    assert (traced.hit == golden["network_object_mask"][rays]).all()
    assert (traced.valid == golden["valid_mask"][rays]).all()
    torch.testing.assert_close(traced.deformed, golden["points"][rays], atol=3e-4, rtol=0)
    torch.testing.assert_close(traced.sdf, golden["sdf_output"][rays, 0], atol=2e-5, rtol=0)
