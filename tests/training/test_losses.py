"""Losses: each term against a training step of the published code, and the semantic rules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import ImplicitAvatar, NetworkSizes, load_checkpoint
from imavatar_deploy.model.deformation import Deformation
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.radiance_field import RadianceFieldModel
from imavatar_deploy.model.tracing.tracer import TraceResult
from imavatar_deploy.model.variants import VARIANTS
from imavatar_deploy.training.batch import Batch
from imavatar_deploy.training.losses import field_terms, image_terms, supervision_terms
from imavatar_deploy.training.pseudo_ground_truth import PseudoGroundTruth
from imavatar_deploy.training.semantics import (
    ABSENT_LABELS,
    GHOST_BONE_LABELS,
    NECK_BONE_LABELS,
    SKIN_LABELS,
)
from imavatar_deploy.training.settings import LossWeights, Terms

PUBLISHED = {
    "colour": "rgb_loss",
    "mask": "mask_loss",
    "skinning": "lbs_loss",
    "pose": "posedirs_loss",
    "expression": "shapedirs_loss",
    "flame_distance": "flame_distance_loss",
}
Golden = Mapping[str, NDArray[Any]]


@pytest.fixture(scope="module")
def golden(reference: Path) -> Golden:
    with np.load(reference / "golden" / "g_train_step.npz") as data:
        return {name: data[name] for name in data.files}


@pytest.fixture(scope="module")
def official(reference: Path) -> ImplicitAvatar:
    avatar = load_checkpoint(
        reference / "experiments" / "openhead" / "IMavatar" / "train0" / "train"
    )
    return avatar.train()


def tensor(array: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def batch_of(golden: Golden) -> Batch:
    k, size = golden["intrinsics"], int(golden["img_res"])
    world_to_camera = np.column_stack([np.eye(3), -golden["camera_center"]])
    fractions = np.array([-k[0, 0], k[1, 1], k[0, 2], k[1, 2]]) / size
    semantic = torch.zeros(len(golden["uv"]), dtype=torch.long)
    for column, ids in (
        (0, SKIN_LABELS),
        (3, ABSENT_LABELS),
        (6, NECK_BONE_LABELS),
        (7, GHOST_BONE_LABELS),
    ):
        semantic[tensor(golden["semantics"][:, column] == 1.0)] = ids[0]
    return Batch(
        frame=20,
        camera=Camera(world_to_camera, fractions),
        size=(size, size),
        pixels=tensor(golden["uv"].astype(np.int64)),
        colour=(tensor(golden["gt_rgb"]) + 1.0) / 2.0,
        mask=tensor(golden["object_mask"]),
        semantic=semantic,
        silhouette=torch.zeros(size, size, dtype=torch.bool),
        space=torch.zeros(0, 3),
        nudges=torch.zeros(0, 3),
    )


@pytest.fixture(scope="module")
def step(golden: Golden, official: ImplicitAvatar) -> tuple[Terms, torch.Tensor, torch.Tensor]:
    """Terms of the published step at its surface points, and the pose and camera with gradients."""
    batch = batch_of(golden)
    pose = tensor(golden["flame_pose"]).requires_grad_()
    centre = tensor(golden["camera_center"]).requires_grad_()
    frame = Frame(tensor(golden["expression"]), pose)
    view = RayBundle.of(batch.camera, batch.size, batch.pixels, centre=centre)
    points = tensor(golden["points"])
    roots = official.find_canonical(points, frame)
    hit = tensor(golden["network_object_mask"])
    traced = TraceResult(roots.canonical, points, roots.sdf, hit, roots.valid)
    truth = PseudoGroundTruth(official.head, official.sizes.bones)
    official.zero_grad()
    terms = image_terms(official, frame, view, traced, batch, LossWeights(), truth)
    LossWeights().total(terms).backward()
    return terms, pose, centre


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_term_is_the_published_one(
    step: tuple[Terms, Any, Any], golden: Golden, name: str
) -> None:
    expected = dict(zip(golden["loss_names"].tolist(), golden["losses"].tolist(), strict=True))
    assert step[0][name].item() == pytest.approx(expected[PUBLISHED[name]], rel=1e-3)


def test_the_terms_add_up_to_the_published_loss(
    step: tuple[Terms, Any, Any], golden: Golden
) -> None:
    assert set(step[0]) == set(PUBLISHED)
    assert LossWeights().total(step[0]).item() == pytest.approx(golden["losses"][0], rel=1e-4)


def published_name(name: str) -> str:
    network, rest = name.split(".", 1)
    prefix = {
        "geometry": "geometry_network",
        "deformation": "deformer_network",
        "texture": "rendering_network",
    }
    spelling = {
        "layers.": "lin",
        "skinning_hidden": "skinning_linear",
        "parametrizations.weight.original0": "weight_g",
        "parametrizations.weight.original1": "weight_v",
    }
    for ours, theirs in spelling.items():
        rest = rest.replace(ours, theirs)
    return f"{prefix[network]}.{rest.replace('bottleneck', 'condition_bottleneck')}"


def test_gradients_are_the_published_ones(
    step: tuple[Terms, Any, Any], golden: Golden, official: Any
) -> None:
    norms = dict(
        zip(golden["grad_param_names"].tolist(), golden["grad_norms"].tolist(), strict=True)
    )
    compared = 0
    for name, parameter in official.named_parameters():
        published = published_name(name)
        assert parameter.grad.norm().item() == pytest.approx(norms[published], rel=3e-3), published
        if f"grad/{published}" in golden:
            expected = golden[f"grad/{published}"]
            difference = np.linalg.norm(parameter.grad.numpy() - expected) / np.linalg.norm(
                expected
            )
            assert difference < 1e-2, published
            compared += 1
    assert compared > 40


def test_pose_and_camera_get_the_published_gradients(
    step: tuple[Terms, Any, Any], golden: Golden
) -> None:
    for ours, theirs in zip(step[1:], ("grad_flame_pose", "grad_camera_center"), strict=True):
        difference = np.linalg.norm(ours.grad.numpy() - golden[theirs]) / np.linalg.norm(
            golden[theirs]
        )
        assert difference < 1e-2, theirs


@pytest.fixture(scope="module")
def truth(openhead: HeadModel) -> PseudoGroundTruth:
    return PseudoGroundTruth(openhead, bones=6)


def test_on_a_vertex_the_truth_is_the_vertex(truth: PseudoGroundTruth, openhead: HeadModel) -> None:
    chosen = torch.arange(0, len(openhead.template), 97)
    targets = truth(truth.vertices[chosen], None)
    assert targets.distance.max() < 1e-6
    assert targets.near.all()
    # Vertices may coincide (teeth in gums): where they do not, they answer for themselves.
    same = (targets.expression - truth.expression[chosen]).abs().amax(dim=(1, 2)) < 1e-6
    assert same.float().mean() > 0.95
    assert targets.weights[:, 0].abs().max() == 0.0
    torch.testing.assert_close(
        targets.weights.sum(dim=1), torch.ones(len(chosen)), atol=1e-4, rtol=0
    )


def test_far_points_have_no_truth(truth: PseudoGroundTruth) -> None:
    targets = truth(torch.tensor([[0.0, 1.1, 0.0]]), None)
    assert not targets.near.any()
    assert not targets.skinned.any()


def test_rules_of_the_labels(truth: PseudoGroundTruth) -> None:
    points = truth.vertices[:5]
    semantic = torch.tensor(
        [SKIN_LABELS[0], NECK_BONE_LABELS[0], GHOST_BONE_LABELS[0], ABSENT_LABELS[0], 0]
    )
    plain, ruled = truth(points, None), truth(points, semantic)
    assert ruled.weights[1].tolist() == [0, 0, 1, 0, 0, 0]
    assert ruled.weights[2].tolist() == [1, 0, 0, 0, 0, 0]
    torch.testing.assert_close(ruled.weights[[0, 3, 4]], plain.weights[[0, 3, 4]])
    assert ruled.skinned.tolist() == [True, True, True, False, True]
    assert ruled.pose[3].abs().max() == 0.0
    torch.testing.assert_close(ruled.expression, plain.expression)


def test_without_a_ghost_bone_cloth_keeps_its_weights(openhead: HeadModel) -> None:
    truth = PseudoGroundTruth(openhead, bones=5)
    points = truth.vertices[:2]
    semantic = torch.tensor([NECK_BONE_LABELS[0], GHOST_BONE_LABELS[0]])
    targets = truth(points, semantic)
    assert targets.weights[0].tolist() == [0, 1, 0, 0, 0]
    torch.testing.assert_close(targets.weights[1], truth(points, None).weights[1])


def test_fields_that_a_variant_lacks_are_not_compared(truth: PseudoGroundTruth) -> None:
    targets = truth(truth.vertices[:4], None)
    assert supervision_terms(None, targets, 4) == {}
    skinning_only = Deformation(torch.zeros(4, 3, 0), torch.zeros(4, 0, 3), targets.weights + 0.5)
    terms = supervision_terms(skinning_only, targets, 4)
    assert set(terms) == {"skinning"}
    assert terms["skinning"].item() == pytest.approx(6 * 0.25)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_that_misses_the_avatar_has_terms_and_gradients(
    openhead: HeadModel, truth: PseudoGroundTruth, variant: str
) -> None:
    """Processes average gradients, so each needs one for every network in every step."""
    sizes = NetworkSizes(
        geometry_layers=(96,) * 3,
        geometry_skip=(2,),
        geometry_frequencies=1,
        feature=4,
        deformation_layers=(8,),
        texture_layers=(8,),
    )
    avatar = VARIANTS[variant].build(openhead, sizes, {})
    view = RayBundle.of(Camera.looking_at(np.zeros(3)), (8, 8))
    nothing = torch.zeros(64, dtype=torch.bool)
    silhouette, none = nothing.reshape(8, 8), torch.zeros(0, 3)
    batch = Batch(
        0,
        view.camera,
        (8, 8),
        view.pixels,
        torch.ones(64, 3),
        nothing,
        None,
        silhouette,
        none,
        none,
    )
    traced = TraceResult(
        view.at(torch.full((64,), 4.0)),
        view.at(torch.full((64,), 4.0)),
        torch.ones(64),
        nothing,
        ~nothing,
    )
    frame = Frame(torch.zeros(50), torch.full((15,), 0.1))
    terms = image_terms(avatar, frame, view, traced, batch, LossWeights(), truth)
    LossWeights().total(terms).backward()
    assert terms["colour"].item() == 0.0
    assert all(parameter.grad is not None for parameter in avatar.parameters())


class TestRadianceField:
    SIZES = NetworkSizes(
        geometry_layers=(64,) * 3,
        geometry_skip=(2,),
        geometry_frequencies=1,
        feature=4,
        deformation_layers=(8,),
        texture_layers=(8,),
    )
    FRAME = Frame(torch.zeros(50), torch.zeros(15))

    @pytest.fixture
    def view(self) -> RayBundle:
        return RayBundle.of(Camera.looking_at(np.zeros(3)), (8, 8))

    @pytest.fixture
    def field(self, openhead: HeadModel) -> RadianceFieldModel:
        torch.manual_seed(0)
        model = VARIANTS["hyper-nerf"].build(openhead, self.SIZES, {})
        assert isinstance(model, RadianceFieldModel)
        return model

    def batch(self, view: RayBundle, mask: torch.Tensor, colour: float) -> Batch:
        none = torch.zeros(0, 3)
        pixels, silhouette = view.pixels, mask.reshape(8, 8)
        colours = torch.full((64, 3), colour)
        return Batch(0, view.camera, (8, 8), pixels, colours, mask, None, silhouette, none, none)

    def test_compares_the_integral_over_white_with_every_pixel(
        self, field: RadianceFieldModel, view: RayBundle
    ) -> None:
        everywhere = torch.ones(64, dtype=torch.bool)
        weights = LossWeights()
        terms, hits = field_terms(
            field, self.FRAME, view, self.batch(view, everywhere, 1.0), weights, 32
        )
        with torch.no_grad():
            seen = field.integrate(view, self.FRAME, 32)
        over = seen.colour + 1.0 - seen.opacity[:, None]
        assert 0.0 < seen.opacity.mean() < 1.0
        assert terms["colour"].item() == pytest.approx((2.0 * (1.0 - over)).sum().item() / 64)
        entropy = -torch.log(1e-3 + 0.998 * seen.opacity).sum().item()
        assert terms["mask"].item() == pytest.approx(entropy / 64 / weights.sharpness, rel=1e-5)
        assert hits.tolist() == (seen.opacity > 0.5).tolist()

    @pytest.mark.parametrize("inside", [True, False])
    def test_the_mask_draws_the_field_in_and_out(
        self, field: RadianceFieldModel, view: RayBundle, inside: bool
    ) -> None:
        """Also a field that is nearly empty, which nothing but the mask can fill."""
        bias = field.geometry.layers[-1].bias
        if inside:
            with torch.no_grad():
                bias[0] += 0.06 - field.geometry(torch.zeros(1, 3)).sdf[0]
        mask = torch.full((64,), inside)
        batch = self.batch(view, mask, 1.0)
        terms, hits = field_terms(field, self.FRAME, view, batch, LossWeights(), 32)
        assert hits.sum() == 0
        terms["mask"].backward()
        assert (bias.grad[0] > 0.0) == inside  # a step against it lowers the level
        assert abs(bias.grad[0]) > 1e-3

    def test_empty_space_and_bfloat16(self, field: RadianceFieldModel, view: RayBundle) -> None:
        nothing = torch.zeros(64, dtype=torch.bool)
        space = torch.rand(200, 3, generator=torch.Generator().manual_seed(1)) - 0.5
        batch = self.batch(view, nothing, 1.0)._replace(space=space)
        plain, _ = field_terms(field, self.FRAME, view, batch, LossWeights(space=1.0), 32)
        mixed, _ = field_terms(field, self.FRAME, view, batch, LossWeights(space=1.0), 32, True)
        assert plain["space"] > 0.0
        assert mixed["colour"].dtype == torch.float32
        assert mixed["colour"].item() == pytest.approx(plain["colour"].item(), rel=0.1)
