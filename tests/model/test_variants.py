"""The table of variants: initial state, maps and blend fields of each."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.model import VARIANTS, Frame, HeadAvatarModel, ImplicitAvatar
from imavatar_deploy.model.backward_avatar import BackwardAvatarModel, undo_head
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.geometry import Geometry
from imavatar_deploy.model.head_avatar import SurfacePoints
from imavatar_deploy.model.variants.baselines import BMorph, CNet

pytestmark = pytest.mark.usefixtures("one_thread")

MakeVariant = Callable[..., HeadAvatarModel]


def some_frame(seed: int = 2) -> Frame:
    generator = torch.Generator().manual_seed(seed)
    return Frame(
        torch.randn(50, generator=generator) * 0.5, torch.randn(15, generator=generator) * 0.2
    )


NEUTRAL = Frame(torch.zeros(50), torch.from_numpy(canonical_pose()))


def mapped(model: HeadAvatarModel, points: Tensor, frame: Frame) -> Tensor:
    """Map points in the direction of the variant: to deformed or to canonical space."""
    if isinstance(model, ForwardAvatarModel):
        return model.deform(points, frame.expression, frame.pose)
    assert isinstance(model, BackwardAvatarModel)
    return model.canonical(points, frame)


def geometry_at(
    model: HeadAvatarModel, canonical: Tensor, deformed: Tensor, frame: Frame
) -> Geometry:
    """Return the geometry of points; that of backward variants may depend on `deformed` alone."""
    if isinstance(model, BackwardAvatarModel):
        return model.evaluate(deformed, frame)[1]
    geometry: Geometry = model.geometry(canonical, model.geometry_code(frame))
    return geometry


def test_the_table_has_the_order_of_the_paper() -> None:
    assert list(VARIANTS) == [
        "imavatar",
        "imavatar-minus",
        "c-net",
        "d-net",
        "b-morph",
        "fwd-skin",
        "hyper-nerf",
    ]
    assert all(row.name == name == row.build.name and row.summary for name, row in VARIANTS.items())
    assert [row.build.direction for row in VARIANTS.values()] == ["forward"] * 2 + [
        "backward"
    ] * 3 + ["forward", "backward"]
    assert {name for name, row in VARIANTS.items() if row.supervised} == {
        "imavatar",
        "b-morph",
        "fwd-skin",
    }


@pytest.mark.parametrize("name", VARIANTS)
def test_the_initial_map_in_the_canonical_pose_is_the_identity(
    make_variant: MakeVariant, name: str, points: Tensor
) -> None:
    model = make_variant(name, noise=0.0)
    torch.testing.assert_close(mapped(model, points, NEUTRAL), points, atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_initial_surface_does_not_depend_on_the_frame(
    make_variant: MakeVariant, name: str, points: Tensor
) -> None:
    model = make_variant(name, noise=0.0, latent=4)
    frame = some_frame()._replace(latent=torch.ones(4))
    sdf = model.geometry(points, model.geometry_code(frame)).sdf
    torch.testing.assert_close(sdf, model.geometry(points).sdf)
    assert sdf.min() < 0 < sdf.max()


@pytest.mark.parametrize("name", VARIANTS)
def test_find_canonical_agrees_with_the_map(
    make_variant: MakeVariant, name: str, points: Tensor
) -> None:
    model = make_variant(name)
    frame = some_frame()
    with torch.no_grad():
        deformed = mapped(model, points, frame) if model.direction == "forward" else points
        roots = model.find_canonical(deformed, frame)
        assert roots.canonical.shape == (64, 3)
        assert roots.valid.float().mean() > 0.9
        images = mapped(model, roots.canonical if model.direction == "forward" else points, frame)
        expected = deformed if model.direction == "forward" else roots.canonical
        torch.testing.assert_close(images[roots.valid], expected[roots.valid], atol=1e-4, rtol=0)
        sdf = geometry_at(model, roots.canonical, deformed, frame).sdf
        near = roots.valid & (sdf < 1.0)  # further out the +1 of a start without root is smaller
        torch.testing.assert_close(roots.sdf[near], sdf[near])


@pytest.mark.parametrize("name", ["c-net", "fwd-skin"])
@pytest.mark.parametrize("latent", [0, 3])
def test_conditioned_geometry_depends_on_the_frame_and_its_code(
    make_variant: MakeVariant, name: str, latent: int, points: Tensor
) -> None:
    model = make_variant(name, latent=latent)

    def sdf(frame: Frame) -> Tensor:
        return model.geometry(points, model.geometry_code(frame)).sdf

    frame = some_frame()
    assert not torch.allclose(sdf(frame), sdf(frame._replace(expression=frame.expression + 0.5)))
    torch.testing.assert_close(sdf(frame), sdf(frame._replace(latent=model.geometry.latent)))
    if latent:
        assert not torch.allclose(
            sdf(frame), sdf(frame._replace(latent=model.geometry.latent + 1.0))
        )


def test_undo_head_inverts_the_motion_of_the_head_only(
    make_variant: MakeVariant, points: Tensor
) -> None:
    model = make_variant("c-net")
    assert isinstance(model, CNet)
    frame = some_frame()
    head = model.bones(frame.expression, frame.pose)[2]  # ghost, global, neck
    turned = points @ head[:, :3].T + head[:, 3]
    torch.testing.assert_close(undo_head(turned, model.bones, frame), points, atol=2e-6, rtol=0)
    assert (turned - points).norm(dim=1).min() > 0.01
    jaw_and_eyes = torch.cat([frame.pose[:6], torch.rand(9)])
    again = undo_head(turned, model.bones, frame._replace(pose=jaw_and_eyes))
    torch.testing.assert_close(again, points, atol=2e-6, rtol=0)


def test_b_morph_inverts_the_forward_map_for_constant_fields(
    make_variant: MakeVariant, points: Tensor
) -> None:
    forward = make_variant("imavatar")
    backward = make_variant("b-morph")
    assert isinstance(forward, ImplicitAvatar)
    assert isinstance(backward, BMorph)
    with torch.no_grad():
        for name in ("blendshapes", "skinning"):
            ours, theirs = (getattr(model.deformation, name) for model in (backward, forward))
            for layer in (ours, theirs):
                layer.weight.zero_()
                layer.bias.copy_(
                    torch.randn(len(layer.bias), generator=torch.Generator().manual_seed(4)) * 0.03
                )
    frame = some_frame()
    deformed = forward.deform(points, frame.expression, frame.pose)
    assert (deformed - points).norm(dim=1).mean() > 0.1
    torch.testing.assert_close(backward.canonical(deformed, frame), points, atol=5e-6, rtol=0)


@pytest.mark.parametrize("name", VARIANTS)
def test_blend_fields(make_variant: MakeVariant, name: str, points: Tensor) -> None:
    model = make_variant(name)
    frame = some_frame()
    geometry = model.geometry(points, model.geometry_code(frame))
    fields = model.blend_fields(SurfacePoints(points, points, geometry, points), frame)
    if name in ("c-net", "d-net", "hyper-nerf"):
        assert fields is None
        return
    assert fields is not None
    blendshapes = 0 if name == "fwd-skin" else 1
    assert fields.expression.shape == (64, 3, 50 * blendshapes)
    assert fields.pose.shape == (64, 36 * blendshapes, 3)
    torch.testing.assert_close(fields.weights.sum(dim=1), torch.ones(64))
