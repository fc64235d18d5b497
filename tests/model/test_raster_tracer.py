"""RasterTracer against MarchTracer on small avatars, and against official renders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import UsageError
from imavatar_deploy.model import VARIANTS, ImplicitAvatar, NetworkSizes
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.head_avatar import HeadAvatarModel
from imavatar_deploy.model.tracing import TRACERS, MarchTracer, RasterTracer, TraceResult
from imavatar_deploy.model.tracing.newton import solve
from imavatar_deploy.model.tracing.posed_field import SignedDistance

from .conftest import SMALL, random_head
from .moving_sphere import calm, moving_sphere

pytestmark = pytest.mark.usefixtures("one_thread")

CAMERA = Camera.looking_at((0.0, 0.0, 0.0), distance=4.0, extent=2.8, yaw=0.2)


@pytest.fixture(scope="module")
def avatar() -> ImplicitAvatar:
    return moving_sphere()


@pytest.fixture(scope="module")
def tracer(avatar: ImplicitAvatar) -> RasterTracer:
    tracer = RasterTracer(resolution=64)
    tracer.refresh(avatar)
    return tracer


@pytest.fixture(scope="module")
def official_tracer(official: ImplicitAvatar) -> RasterTracer:
    tracer = RasterTracer(resolution=64)
    tracer.refresh(official)
    return tracer


@pytest.fixture
def view() -> RayBundle:
    return RayBundle.of(CAMERA, (20, 20))


def small_variant(name: str) -> HeadAvatarModel:
    torch.manual_seed(3)
    return (
        VARIANTS[name]
        .build(random_head(np.random.default_rng(3)), NetworkSizes(**SMALL), {})
        .eval()
    )


def apart(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).norm(dim=1)


def assert_close_to(ours: TraceResult, theirs: TraceResult) -> None:
    """Compare points; on rays that graze the surface both tracers stop a little before it."""
    distance = apart(ours.deformed, theirs.deformed)[ours.hit & theirs.hit]
    assert distance.median() < 2e-6
    assert distance.quantile(0.95) < 1e-5
    assert distance.max() < 1e-4


def assert_roots(
    avatar: ImplicitAvatar, frame: Frame, view: RayBundle, traced: TraceResult
) -> None:
    """Check that valid points deform to points on their rays and have the returned distance."""
    valid = traced.valid
    with torch.no_grad():
        deformed = avatar.deform(traced.canonical, frame.expression, frame.pose)
        sdf = avatar.geometry(traced.canonical, avatar.geometry_code(frame)).sdf
    assert apart(deformed, traced.deformed)[valid].max() < 2e-5
    assert (sdf - traced.sdf)[valid].abs().max() < 2e-5
    along = torch.linalg.cross(traced.deformed - view.origin, view.directions).norm(dim=1)
    assert along[valid].max() < 1e-5


def test_raster_is_in_the_table() -> None:
    assert TRACERS["raster"] is RasterTracer


def test_the_same_surface_as_the_march_tracer(
    avatar: ImplicitAvatar, tracer: RasterTracer, view: RayBundle
) -> None:
    frame = calm()
    ours = tracer.trace(avatar, frame, view)
    theirs = MarchTracer().trace(avatar, frame, view)
    assert not any(part.requires_grad for part in ours)
    assert 60 < ours.hit.sum() < 150
    assert (ours.hit == theirs.hit).all()
    assert_close_to(ours, theirs)
    assert ours.valid[ours.hit].all()
    assert_roots(avatar, frame, view, ours)
    far = ~ours.valid
    assert far.any()
    assert (ours.sdf[far] == 1.0).all()


def test_some_pixels_of_a_moved_camera(
    avatar: ImplicitAvatar, tracer: RasterTracer, view: RayBundle
) -> None:
    """As in training: a few pixels in any order, an optimised camera, and inputs with gradients."""
    centre = (view.origin + torch.tensor([0.05, -0.1, 0.2])).requires_grad_()
    pixels = torch.randperm(400, generator=torch.Generator().manual_seed(0))[:90]
    moved = RayBundle.of(CAMERA, (20, 20), view.pixels[pixels], centre=centre)
    frame = Frame(*(part.requires_grad_() for part in calm()[:2]))
    ours = tracer.trace(avatar, frame, moved)
    theirs = MarchTracer().trace(avatar, frame, moved)
    assert (ours.hit == theirs.hit).all()
    assert_close_to(ours, theirs)
    assert not any(part.requires_grad for part in ours)


def test_the_smallest_distance_with_a_foreground_mask(
    avatar: ImplicitAvatar, tracer: RasterTracer, view: RayBundle
) -> None:
    frame = calm()
    # The mask cuts off a part of the sphere and extends beyond it elsewhere.
    foreground = (view.pixels[:, 0] > 8) & (view.pixels[:, 1] > 1)
    ours = tracer.trace(avatar, frame, view, foreground=foreground)
    plain = tracer.trace(avatar, frame, view)
    theirs = MarchTracer().trace(avatar, frame, view, foreground=foreground)
    assert (ours.hit == plain.hit).all()
    surface = ours.hit & foreground
    assert (ours.canonical == plain.canonical)[surface].all()
    assert ours.valid.all()
    assert_roots(avatar, frame, view, ours)
    inner = ours.hit & ~foreground
    assert inner.sum() > 20
    assert (ours.sdf[inner] < 0).all()
    torch.testing.assert_close(ours.sdf[inner], theirs.sdf[inner], atol=0.02, rtol=0)
    grow = ~ours.hit & foreground
    assert grow.sum() > 20
    assert (ours.sdf[grow] > 0).all()
    torch.testing.assert_close(ours.sdf[grow], theirs.sdf[grow], atol=0.02, rtol=0)
    # The published loss is saturated this far from the surface; a rough value is sufficient.
    rest = ~ours.hit & ~foreground
    assert (ours.sdf[rest] > theirs.sdf[rest] - 1e-3).all()


def test_the_result_does_not_depend_on_an_outdated_mesh(view: RayBundle) -> None:
    """Between refreshes in training the surface grows out of its mesh."""
    avatar = moving_sphere()
    frame = calm()
    tracer = RasterTracer(resolution=64)
    tracer.refresh(avatar)
    with torch.no_grad():
        avatar.geometry.layers[-1].bias[0] -= 0.02
        avatar.deformation.blendshapes.weight.mul_(1.1)
    theirs = MarchTracer().trace(avatar, frame, view)
    ours = tracer.trace(avatar, frame, view, foreground=theirs.hit)
    assert tracer.trace(avatar, frame, view).hit.sum() < theirs.hit.sum()
    assert (ours.hit == theirs.hit).all()
    assert apart(ours.deformed, theirs.deformed)[ours.hit].max() < 1e-4


def test_refresh_uses_the_current_weights(view: RayBundle) -> None:
    avatar = moving_sphere()
    frame = calm()
    tracer = RasterTracer(resolution=64)
    before = tracer.trace(avatar, frame, view).hit.sum()
    with torch.no_grad():
        avatar.geometry.layers[-1].bias[0] -= 0.05
    tracer.refresh(avatar)
    grown = tracer.trace(avatar, frame, view)
    assert grown.hit.sum() > 1.1 * before
    assert (grown.hit == MarchTracer().trace(avatar, frame, view).hit).all()


def test_an_avatar_out_of_view(avatar: ImplicitAvatar, tracer: RasterTracer) -> None:
    view = RayBundle.of(Camera.looking_at((2.0, 0.0, 0.0), distance=2.0, extent=0.6), (6, 6))
    frame = calm()
    assert not tracer.trace(avatar, frame, view).hit.any()
    traced = tracer.trace(avatar, frame, view, foreground=torch.arange(36) % 2 == 0)
    assert not traced.hit.any()
    assert (traced.sdf > 0).all()
    assert_roots(avatar, frame, view, traced)


@pytest.mark.parametrize("foreground", [None, torch.zeros(0, dtype=torch.bool)])
def test_no_rays(
    avatar: ImplicitAvatar, tracer: RasterTracer, view: RayBundle, foreground: Tensor | None
) -> None:
    traced = tracer.trace(avatar, calm(), view.select(torch.arange(0)), foreground=foreground)
    assert [len(part) for part in traced] == [0] * 5


@pytest.mark.parametrize("name", ["c-net", "d-net", "b-morph", "hyper-nerf"])
def test_backward_variants_need_the_march_tracer(name: str, view: RayBundle) -> None:
    with pytest.raises(UsageError, match=f"{name} maps backward; use --tracer march"):
        RasterTracer(resolution=64).trace(small_variant(name), calm(), view)


def test_expressions_that_only_condition_the_surface(view: RayBundle) -> None:
    model = small_variant("fwd-skin")
    frame = calm()
    tracer = RasterTracer(resolution=64)
    with torch.no_grad():
        first: Any = model.geometry.layers[0]
        first.bias.add_(0.02 * torch.randn_like(first.bias))
    ours = tracer.trace(model, frame, view)
    theirs = MarchTracer().trace(model, frame, view)
    assert 30 < ours.hit.sum() < 150
    assert (ours.hit == theirs.hit).all()
    assert_close_to(ours, theirs)


@pytest.mark.parametrize("latent", [0, 4])
def test_signed_distance_equals_the_network(latent: int) -> None:
    avatar = moving_sphere(latent=latent)
    points = torch.rand(50, 3) - 0.5
    for code in [None, torch.rand(latent)]:
        with torch.no_grad():
            expected = avatar.geometry(points, code).sdf
        torch.testing.assert_close(SignedDistance(avatar.geometry, code)(points), expected)


class TestSolve:
    def circle(self, x: Tensor, which: Tensor) -> Tensor:
        """Return residuals that vanish at (1, 1, 1) / sqrt(3), and its negative."""
        return torch.stack(
            [x[:, 0] - x[:, 1], x[:, 1] - x[:, 2], x.square().sum(dim=1) - 1.0], dim=1
        )

    def solve(self, start: Tensor, steps: int) -> Any:
        every = torch.arange(len(start))
        jacobian = torch.tensor([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]]).expand(len(start), 2, 3)
        jacobian = torch.cat([jacobian, 2.0 * start[:, None]], dim=1)
        return solve(
            self.circle,
            start,
            self.circle(start, every),
            jacobian,
            steps=steps,
            tolerance=1e-6,
            reach=0.2,
        )

    def test_converges_to_roots(self) -> None:
        start = torch.tensor([[0.5, 0.6, 0.6], [0.57, 0.58, 0.58], [0.9, 0.3, 0.4]])
        solved = self.solve(start, steps=10)
        assert solved.converged.all()
        torch.testing.assert_close(solved.x, torch.full((3, 3), 3.0**-0.5), atol=1e-5, rtol=0)

    def test_reports_what_did_not_converge(self) -> None:
        solved = self.solve(torch.tensor([[3.0, -2.0, 1.0], [0.5773, 0.5774, 0.5773]]), steps=3)
        assert solved.converged.tolist() == [False, True]


class TestOfficialRays:
    """Some rays of the reference head; benchmarks/tracers.py compares all at a finer resolution."""

    def test_a_frame(
        self, official: ImplicitAvatar, reference: Path, official_tracer: RasterTracer
    ) -> None:
        golden = load(reference, "f_render_talk_021_64")
        rays = torch.arange(3, 4096, 7)
        view = RayBundle.of(
            golden_camera(golden, 64, torch.linalg.inv(golden["cam_pose"])[:3]), (64, 64)
        ).select(rays)
        traced = official_tracer.trace(
            official, Frame(golden["expression"], golden["flame_pose"]), view
        )
        hit = golden["network_object_mask"][rays]
        assert (traced.hit & ~hit).sum() == 0
        assert (hit & ~traced.hit).sum() <= 3
        distance = apart(traced.deformed, golden["points"][rays])[hit & traced.hit]
        assert distance.median() < 2e-6
        assert distance.quantile(0.9) < 1e-5
        assert (distance > 1e-3).float().mean() < 0.05  # other layers, by lips and teeth

    def test_the_rays_of_the_training_step(
        self, official: ImplicitAvatar, reference: Path, official_tracer: RasterTracer
    ) -> None:
        golden = load(reference, "g_train_step")
        world_to_camera = torch.cat([torch.eye(3), -golden["camera_center"][:, None]], dim=1)
        camera = golden_camera(golden, 256, world_to_camera)
        view = RayBundle.of(camera, (256, 256), golden["uv"].long())
        foreground = golden["object_mask"]
        hit = golden["network_object_mask"]
        frame = Frame(golden["expression"], golden["flame_pose"])
        traced = official_tracer.trace(official, frame, view, foreground=foreground)
        assert (traced.hit != hit).sum() <= 2
        assert traced.valid.all()
        surface = hit & traced.hit & foreground
        inside = hit & ~foreground
        assert apart(traced.deformed, golden["points"])[surface].median() < 2e-6
        assert inside.sum() == 2
        torch.testing.assert_close(
            traced.sdf[inside], golden["sdf_output"][inside, 0], atol=2e-3, rtol=0
        )
        rest = ~(hit & foreground)
        ours, published = (
            mask_loss(sdf[rest], foreground[rest])
            for sdf in (traced.sdf, golden["sdf_output"][:, 0])
        )
        torch.testing.assert_close(ours, published, atol=0, rtol=0.05)


def load(reference: Path, name: str) -> dict[str, Tensor]:
    with np.load(reference / "golden" / f"{name}.npz") as data:
        return {
            key: torch.from_numpy(data[key]) for key in data.files if data[key].dtype.kind in "bfi"
        }


def golden_camera(golden: dict[str, Tensor], size: int, world_to_camera: Tensor) -> Camera:
    fx, fy, cx, cy = (
        float(golden["intrinsics"][index]) / size for index in ((0, 0), (1, 1), (0, 2), (1, 2))
    )
    return Camera(world_to_camera.numpy(), np.array([abs(fx), fy, cx, cy]))


def mask_loss(sdf: Tensor, foreground: Tensor) -> Tensor:
    """Return the published mask loss, summed over rays."""
    return (
        torch.nn.functional.binary_cross_entropy_with_logits(
            -50.0 * sdf, foreground.float(), reduction="sum"
        )
        / 50.0
    )
