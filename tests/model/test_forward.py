"""Forward variants: search, and implicit gradients against finite differences of solved roots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from imavatar_deploy.camera import Camera
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.correspondence import ForwardMap
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.geometry import Geometry
from imavatar_deploy.model.implicit_diff import attach, orthogonal_basis

from .moving_sphere import calm, moving_sphere

pytestmark = pytest.mark.usefixtures("one_thread")

CAMERA = Camera.looking_at((0.0, 0.0, 0.0), distance=4.0, extent=2.0, yaw=0.3)
STEP = 1e-6


def test_the_papers_model_is_a_forward_variant(small: ImplicitAvatar) -> None:
    assert isinstance(small, ForwardAvatarModel)
    assert (small.name, small.direction) == ("imavatar", "forward")


class TestSearch:
    @pytest.mark.parametrize("bones", [5, 6])
    @torch.no_grad()
    def test_roots_deform_to_the_points(self, points: Tensor, bones: int) -> None:
        avatar = moving_sphere(bones=bones)
        frame = calm()
        roots = avatar.find_canonical(points, frame)
        assert roots.valid.all()
        torch.testing.assert_close(
            avatar.deform(roots.canonical, *frame[:2]), points, atol=2e-5, rtol=0
        )
        torch.testing.assert_close(
            roots.sdf, avatar.geometry(roots.canonical).sdf, atol=2e-4, rtol=0
        )

    def test_has_no_gradients(self, points: Tensor) -> None:
        avatar = moving_sphere()
        frame = calm()
        driven = Frame(frame.expression.requires_grad_(), frame.pose.requires_grad_())
        assert not any(part.requires_grad for part in avatar.find_canonical(points, driven))

    def test_many_points_are_searched_in_chunks(self, points: Tensor) -> None:
        avatar = moving_sphere()
        frame = calm()
        many = points.repeat(80, 1)  # more than one chunk
        assert len(many) > 4096
        for once, again in zip(
            avatar.find_canonical(points, frame), avatar.find_canonical(many, frame), strict=True
        ):
            assert_allclose(again.reshape(80, *once.shape), once.expand(80, *once.shape), atol=2e-5)

    def test_no_points(self) -> None:
        roots = moving_sphere().find_canonical(torch.zeros(0, 3), calm())
        assert [tuple(part.shape) for part in roots] == [(0, 3), (0,), (0,)]

    def test_latent_code_reaches_the_distance(self, points: Tensor) -> None:
        avatar = moving_sphere(latent=4)
        frame = calm()
        with torch.no_grad():
            avatar.geometry.layers[0].bias.add_(0.1)
            for parameter in avatar.geometry.layers[0].parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        coded = Frame(frame.expression, frame.pose, torch.ones(4))
        plain = avatar.find_canonical(points, frame)
        other = avatar.find_canonical(points, coded)
        torch.testing.assert_close(plain.canonical, other.canonical, atol=2e-5, rtol=0)
        assert (plain.sdf - other.sdf).abs().median() > 1e-3


class Folded(ImplicitAvatar):
    """Squares the first coordinate: two roots or none. The jaw bone mirrors it."""

    @property
    def canonical_transforms(self) -> Tensor:
        return torch.eye(3, 4).repeat(6, 1, 1)

    def transforms(self, expression: Tensor, pose: Tensor) -> Tensor:
        transforms = torch.eye(3, 4).repeat(6, 1, 1)
        transforms[3, 0, 0] = -1.0
        return transforms

    def forward_map(self, frame: Frame) -> ForwardMap:  # type: ignore[override]
        def forward(x: Tensor) -> tuple[Tensor, Tensor]:
            weights = torch.nn.functional.one_hot(torch.where(x[:, 0] < 0, 3, 0), 6).float()
            return torch.cat([x[:, :1] ** 2, x[:, 1:]], dim=1), weights

        return forward


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_root_of_smaller_distance_is_returned(
    small: ImplicitAvatar, points: Tensor, sign: float
) -> None:
    avatar = Folded(small.head, small.sizes)
    evaluated: list[Tensor] = []

    def slope(x: Tensor, code: Tensor | None) -> Geometry:
        evaluated.append(x)
        return Geometry(sign * x[:, 0], x)

    avatar.geometry.forward = slope  # type: ignore[method-assign, assignment]
    points = points * torch.tensor([0.3, 1.0, 1.0])  # half of them have no root
    roots = avatar.find_canonical(points, calm())
    inside = points[:, 0] > 1e-3
    torch.testing.assert_close(
        roots.canonical[inside, 0], -sign * points[inside, 0].sqrt(), atol=1e-3, rtol=1e-4
    )
    torch.testing.assert_close(roots.sdf[inside], -points[inside, 0].sqrt(), atol=1e-3, rtol=1e-4)
    assert roots.valid[inside].all()
    outside = points[:, 0] < -1e-3
    assert not roots.valid[outside].any()
    assert (roots.sdf[outside] == 1.0).all()
    assert sum(map(len, evaluated)) <= 2 * int((~outside).sum()), "equal roots are evaluated once"


@pytest.fixture
def precise() -> tuple[ImplicitAvatar, RayBundle, Frame, Tensor]:
    """Return a small avatar, eight rays, a frame and the exact surface points, all in float64."""
    avatar = moving_sphere().double()
    frame = Frame(*(part.double() for part in calm()[:2]))
    pixels = torch.tensor(
        [[12, 14], [16, 16], [20, 15], [15, 20], [18, 18], [14, 11], [21, 21], [17, 13]]
    )
    view = RayBundle.of(CAMERA, (32, 32), pixels)
    view = RayBundle(CAMERA, (32, 32), pixels, view.origin.double(), view.directions.double())
    return avatar, view, frame, meet(avatar, view, frame, torch.zeros(8, 3).double())


def newton(residual: Callable[[Tensor], Tensor], x: Tensor, steps: int = 60) -> Tensor:
    for _ in range(steps):
        x = x.detach().requires_grad_()
        value = residual(x)
        rows = [torch.autograd.grad(value[:, i].sum(), x, retain_graph=True)[0] for i in range(3)]
        step = torch.linalg.solve(torch.stack(rows, dim=1), value)
        x = x - step * (0.1 / step.norm(dim=1, keepdim=True).clamp(min=0.1))
    assert residual(x).abs().max() < 1e-12
    return x.detach()


def meet(avatar: ImplicitAvatar, view: RayBundle, frame: Frame, start: Tensor) -> Tensor:
    """Intersect rays with the surface, `[M, 3]`, by the cross products of the paper."""

    def residual(x: Tensor) -> Tensor:
        offset = torch.linalg.cross(view.directions, avatar.deform(x, *frame[:2]) - view.origin)
        return torch.cat([offset[:, :2], avatar.geometry(x).sdf[:, None]], dim=1)

    return newton(residual, start)


def perturbed(
    name: str, avatar: ImplicitAvatar, view: RayBundle, frame: Frame, amount: float
) -> tuple[RayBundle, Frame]:
    """Change one input by a finite amount in a random direction."""
    generator = torch.Generator().manual_seed(6)

    def change(tensor: Tensor) -> Tensor:
        return amount * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)

    if name == "camera":
        return RayBundle(
            view.camera, view.size, view.pixels, view.origin + change(view.origin), view.directions
        ), frame
    if name in frame._fields:
        return view, frame._replace(**{name: getattr(frame, name) + change(getattr(frame, name))})
    with torch.no_grad():
        for parameter in getattr(avatar, name).parameters():
            parameter.add_(change(parameter))
    return view, frame


def surface_values(
    avatar: ImplicitAvatar, canonical: Tensor, view: RayBundle, frame: Frame
) -> Tensor:
    """Return the values of surface points that training uses `[M, 11]`."""
    points = avatar.attach_gradients(
        canonical, view.at(torch.zeros(len(view)).double()), view, frame
    )
    return torch.cat(
        [points.canonical, points.normal, points.geometry.feature[:, :2], points.deformed], dim=1
    )


def inputs(
    name: str, avatar: ImplicitAvatar, view: RayBundle, frame: Frame
) -> tuple[list[Tensor], RayBundle, Frame]:
    """Return the leaves of one input, with gradients, and the rays and frame that contain them."""
    if name == "camera":
        origin = view.origin.clone().requires_grad_()
        return (
            [origin],
            RayBundle(view.camera, view.size, view.pixels, origin, view.directions),
            frame,
        )
    if name in frame._fields:
        driven = getattr(frame, name).clone().requires_grad_()
        return [driven], view, frame._replace(**{name: driven})
    return list(getattr(avatar, name).parameters()), view, frame


def along(gradients: tuple[Tensor, ...]) -> float:
    """Return the derivative in the direction of `perturbed`."""
    generator = torch.Generator().manual_seed(6)
    return float(
        sum((g * torch.randn(g.shape, generator=generator, dtype=g.dtype)).sum() for g in gradients)
    )


SOURCES = ("geometry", "deformation", "expression", "pose", "camera")
Precise = tuple[ImplicitAvatar, RayBundle, Frame, Tensor]


@pytest.mark.parametrize("name", SOURCES)
def test_gradients_of_points_on_rays(precise: Precise, name: str) -> None:
    avatar, view, frame, canonical = precise
    scales = torch.randn(8, 11, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    leaves, view_, frame_ = inputs(name, avatar, view, frame)
    loss = (scales * surface_values(avatar, canonical, view_, frame_)).sum()
    gradient = along(torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True))

    def value_at(amount: float) -> float:
        view_, frame_ = perturbed(name, avatar, view, frame, amount)
        with torch.no_grad():
            moved = meet_again(avatar, view_, frame_, canonical)
            value = float((scales * surface_values(avatar, moved, view_, frame_)).sum())
        perturbed(name, avatar, view, frame, -amount)
        return value

    difference = (value_at(STEP) - value_at(-STEP)) / (2 * STEP)
    assert abs(difference) > 1e-3
    assert gradient == pytest.approx(difference, rel=1e-5)


def meet_again(avatar: ImplicitAvatar, view: RayBundle, frame: Frame, start: Tensor) -> Tensor:
    with torch.enable_grad():
        return meet(avatar, view, frame, start)


@pytest.mark.parametrize("name", SOURCES)
def test_gradients_off_the_surface(precise: Precise, name: str) -> None:
    avatar, view, frame, _ = precise
    distance = torch.linspace(3.2, 4.5, 8, dtype=torch.float64)
    canonical = root(avatar, view.at(distance), frame, torch.zeros(8, 3).double())
    leaves, view_, frame_ = inputs(name, avatar, view, frame)
    sdf = avatar.sdf_at(canonical, view_.at(distance), frame_)
    torch.testing.assert_close(sdf, avatar.geometry(canonical).sdf)
    scales = torch.randn(8, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    gradient = along(
        torch.autograd.grad((scales * sdf).sum(), leaves, allow_unused=True, materialize_grads=True)
    )

    def value_at(amount: float) -> float:
        view_, frame_ = perturbed(name, avatar, view, frame, amount)
        value = avatar.geometry(root(avatar, view_.at(distance), frame_, canonical)).sdf.detach()
        perturbed(name, avatar, view, frame, -amount)
        return float((scales * value).sum())

    difference = (value_at(STEP) - value_at(-STEP)) / (2 * STEP)
    assert abs(difference) > 1e-3
    assert gradient == pytest.approx(difference, rel=1e-5)


def root(avatar: ImplicitAvatar, deformed: Tensor, frame: Frame, start: Tensor) -> Tensor:
    return newton(lambda x: avatar.deform(x, *frame[:2]) - deformed, start)


def test_attaching_gradients_preserves_the_values(precise: Precise) -> None:
    avatar, view, frame, canonical = precise
    attached = avatar.attach_gradients(canonical, canonical, view, frame)
    torch.testing.assert_close(attached.canonical, canonical, atol=0, rtol=0)
    assert attached.geometry.sdf.abs().max() < 1e-12
    assert torch.linalg.cross(attached.deformed - view.origin, view.directions).abs().max() < 1e-12
    with torch.no_grad():
        plain = avatar.attach_gradients(canonical, canonical, view, frame)
    for ours, theirs in zip(
        (*plain[:2], *plain.geometry), (*attached[:2], *attached.geometry), strict=True
    ):
        assert not ours.requires_grad
        torch.testing.assert_close(ours, theirs)


def test_normals_are_orthogonal_to_the_deformed_surface(precise: Precise) -> None:
    """Intersections of neighbouring rays lie in the tangent plane."""
    avatar, view, frame, canonical = precise
    with torch.no_grad():
        normal = avatar.attach_gradients(canonical, canonical, view, frame).normal
    here = avatar.deform(canonical, *frame[:2])
    for axis in range(3):
        shift = torch.zeros(3).double()
        shift[axis] = 1e-5
        moved = RayBundle(view.camera, view.size, view.pixels, view.origin + shift, view.directions)
        there = avatar.deform(meet(avatar, moved, frame, canonical), *frame[:2])
        assert ((there - here) * normal).sum(dim=1).abs().max() < 1e-8


def test_blend_fields_are_the_deformation_networks(precise: Precise) -> None:
    avatar, view, frame, canonical = precise
    fields = avatar.blend_fields(avatar.attach_gradients(canonical, canonical, view, frame), frame)
    assert fields is not None
    torch.testing.assert_close(fields, avatar.deformation(canonical))


def test_no_surface_points(precise: Precise) -> None:
    avatar, view, frame, canonical = precise
    points = avatar.attach_gradients(
        canonical[:0], canonical[:0], view.select(torch.arange(0)), frame
    )
    (points.canonical.sum() + points.normal.sum() + avatar.colour(points, frame).sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in avatar.parameters() if p.grad is not None)


def test_orthogonal_basis() -> None:
    rays = torch.nn.functional.normalize(
        torch.cat([torch.eye(3), -torch.eye(3), torch.randn(20, 3)]), dim=1
    )
    basis = torch.cat([orthogonal_basis(rays), rays[:, None]], dim=1)
    torch.testing.assert_close(basis @ basis.mT, torch.eye(3).expand(26, 3, 3), atol=1e-6, rtol=0)


def test_the_gradient_at_a_singular_jacobian_is_zero() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    height = torch.tensor(1.0, requires_grad=True)
    flat = torch.stack([torch.tensor([1.0, 1.0, 0.0]), torch.ones(3)])
    attach(x, x * flat - height).sum().backward()
    assert height.grad == 3.0


@pytest.mark.parametrize("frame", [0, 1, 2])
def test_official_surface(official: ImplicitAvatar, reference: Path, frame: int) -> None:
    with np.load(reference / "golden" / "e_surface.npz") as data:
        golden = {key: torch.from_numpy(data[key]) for key in data.files}
    drive = Frame(golden["expression"][frame], golden["pose"][frame])
    points = golden["points_c"][::4]
    view = RayBundle.of(CAMERA, (len(points), 1))
    with torch.no_grad():
        surface = official.attach_gradients(points, points, view, drive)
        rgb = official.colour(surface, drive)
    torch.testing.assert_close(surface.normal, golden[f"normals_{frame}"][::4], atol=1e-5, rtol=0)
    torch.testing.assert_close(surface.geometry.feature, golden["feature"][::4], atol=1e-5, rtol=0)
    torch.testing.assert_close(2.0 * rgb - 1.0, golden[f"rgb_{frame}"][::4], rtol=1e-4, atol=1e-5)
