"""Blinks of a head model that moves both eyes alike: each shape closes its own lid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.exporters.formats.arkit_shapes import arkit_poses, shape_targets
from imavatar_deploy.exporters.formats.gltf.vrm_rig import PRESETS
from imavatar_deploy.exporters.formats.named_poses import NamedPose
from imavatar_deploy.exporters.mesh_cleanup import canonical_points
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import load_checkpoint
from imavatar_deploy.retarget.arkit import ARKIT_NAMES
from imavatar_deploy.retarget.expression_map import ExpressionMap, split
from imavatar_deploy.training.retargeting.fit_shapes import fit_shapes

STILL = np.zeros(15, dtype=np.float32)
SIDES = ("Left", "Right")


def alike(head: HeadModel) -> HeadModel:
    """OpenHead with an expression basis that moves both sides together, as an edition of FLAME.

    Every pair of shapes is one expression, the sum of both; the others are as they are.
    """
    names = list(head.expression_names)
    basis = head.expression_basis.copy()
    for name in names:
        other = f"{name.removesuffix('Left')}Right"
        if name.endswith("Left") and other in names:
            basis[:, :, names.index(name)] += basis[:, :, names.index(other)]
            basis[:, :, names.index(other)] = 0
    return replace(head, expression_basis=basis, edition="flame2020")


def avatar_of(head: HeadModel) -> Avatar:
    """A head model as an avatar, without networks."""
    scale = np.float32(UNITS_PER_METRE)
    rest = np.ascontiguousarray(scale * head.template.T)

    def columns(basis: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.ascontiguousarray(scale * basis.transpose(2, 1, 0))

    return Avatar(
        rest=rest,
        canonical=rest,
        faces=head.faces,
        expression_basis=columns(head.expression_basis),
        pose_basis=columns(head.pose_basis),
        normal_detail=np.zeros_like(rest),
        skin_weights=np.ascontiguousarray(head.weights.T),
        joints_rest=scale * head.joints(np.zeros(50, np.float32)),
        joint_basis=np.zeros((50, 5, 3), np.float32),
        texture_code=np.zeros((rest.shape[1], 4), np.float32),
        edition=head.edition,
        expression_names=tuple(f"expression_{index:02d}" for index in range(50)),
    )


@pytest.fixture(scope="module")
def openhead() -> HeadModel:
    return HeadModel.load("openhead")


@pytest.fixture(scope="module")
def flame(openhead: HeadModel) -> HeadModel:
    return alike(openhead)


@pytest.fixture(scope="module")
def expression_map(openhead: HeadModel, flame: HeadModel) -> ExpressionMap:
    return fit_shapes(openhead, flame, "").expression_map


@pytest.fixture(scope="module")
def blinks(openhead: HeadModel) -> dict[str, NDArray[np.float32]]:
    """OpenHead's own blinks `[V, 3]`, by side, metres."""
    return {
        side: openhead.expression_basis[:, :, openhead.expression_names.index(f"eyeBlink{side}")]
        for side in SIDES
    }


def gap(head: HeadModel, blink: NDArray[np.float32], displacement: NDArray[np.floating]) -> float:
    """Distance of the edges of the lids of one eye, mm.

    The edge of the upper lid is the vertex that OpenHead's blink moves farthest; that of the lower
    lid is the vertex, still in a blink, that it then lies nearest to.
    """
    distance = np.linalg.norm(blink, axis=1)
    upper = int(distance.argmax())
    closed = head.template[upper] + blink[upper]
    still = distance < 0.2 * distance[upper]
    lower = int(np.where(still, np.linalg.norm(head.template - closed, axis=1), 1).argmin())
    moved = head.template + displacement
    return 1000 * float(np.linalg.norm(moved[upper] - moved[lower]))


def test_the_map_alone_closes_both_eyes_by_half(
    flame: HeadModel, expression_map: ExpressionMap, blinks: dict[str, NDArray[np.float32]]
) -> None:
    """The least squares of such a head model: why the pairs are separated."""
    codes = expression_map.matrix[ARKIT_NAMES.index("eyeBlinkLeft")]
    face = flame.vertices(*split(codes, STILL)) - flame.template
    for blink in blinks.values():
        opened = gap(flame, blink, np.zeros_like(face))
        assert gap(flame, blink, face) == pytest.approx(0.5 * opened, abs=0.15 * opened)


def test_each_shape_closes_its_own_lid(
    flame: HeadModel, expression_map: ExpressionMap, blinks: dict[str, NDArray[np.float32]]
) -> None:
    targets = {
        target.name: target.offset.T / UNITS_PER_METRE
        for target in shape_targets(avatar_of(flame), arkit_poses(expression_map), flame)
    }
    both = sum(weight * targets[name] for name, weight in PRESETS["blink"].items())
    for side, other in (SIDES, SIDES[::-1]):
        wink = targets[f"eyeBlink{side}"]
        opened, closed = (
            gap(flame, blinks[side], face) for face in (np.zeros_like(wink), blinks[side])
        )
        assert closed < 0.2 * opened, "OpenHead's blink itself, to the nearest vertex"
        assert gap(flame, blinks[side], wink) == pytest.approx(closed, abs=0.03 * opened)
        assert gap(flame, blinks[side], both) == pytest.approx(closed, abs=0.03 * opened)
        assert gap(flame, blinks[other], wink) == pytest.approx(opened, abs=1e-4)
        away_from_the_nose = np.abs(flame.template[:, 0]) > 0.02
        lids = away_from_the_nose & (np.linalg.norm(blinks[other], axis=1) > 3e-3)
        assert np.abs(wink[lids]).max() < 0.02 * np.abs(blinks[other][lids]).max()


@pytest.mark.parametrize(("learned", "closes"), [(0.3, 1.0), (0.2, 0.8), (0.05, 0.05)])
def test_weak_blinks_of_an_avatar_are_amplified(
    flame: HeadModel,
    expression_map: ExpressionMap,
    blinks: dict[str, NDArray[np.float32]],
    learned: float,
    closes: float,
) -> None:
    """An avatar whose lids learned a share of the head model's motion; at most four times it."""
    avatar = avatar_of(flame)
    weak = replace(avatar, expression_basis=np.float32(learned) * avatar.expression_basis)
    poses = arkit_poses(expression_map)
    full, targets = (
        {target.name: target.offset for target in shape_targets(one, poses, flame)}
        for one in (avatar, weak)
    )
    for side, blink in blinks.items():
        lids = np.linalg.norm(blink, axis=1) > 2e-3
        name = f"eyeBlink{side}"
        np.testing.assert_allclose(
            targets[name][:, lids], closes * full[name][:, lids], rtol=0.05, atol=1e-4
        )
    assert np.abs(targets["browInnerUp"] - learned * full["browInnerUp"]).max() < 1e-5


def targets_of(
    avatar: Avatar, poses: list[NamedPose], head: HeadModel | None
) -> dict[str, NDArray[np.float32]]:
    """Displacement of each blink `[V, 3]`, metres."""
    return {
        target.name: target.offset.T / np.float32(UNITS_PER_METRE)
        for target in shape_targets(avatar, poses, head)
    }


def test_blinks_are_amplified_only_where_the_head_model_moves(
    flame: HeadModel, expression_map: ExpressionMap, blinks: dict[str, NDArray[np.float32]]
) -> None:
    """What a trained blink moves elsewhere, such as inside the mouth, stays as it is learned."""
    avatar = avatar_of(flame)
    own = np.linalg.norm(sum(blinks.values()), axis=1)
    still = flame.template[own > 0]
    far = np.array([np.linalg.norm(still - v, axis=1).min() for v in flame.template]) > 0.016
    basis = np.float32(0.3) * avatar.expression_basis
    basis[:, 0, far] = 0.01  # every expression moves the rest of the head
    weak = replace(avatar, expression_basis=basis)
    poses = [named for named in arkit_poses(expression_map) if named.name.startswith("eyeBlink")]
    plain, amplified = (targets_of(weak, poses, head) for head in (None, flame))
    full = targets_of(avatar, poses, flame)
    for side, blink in blinks.items():
        name = f"eyeBlink{side}"
        assert np.abs(plain[name][far]).max() > 1e-4
        np.testing.assert_allclose(amplified[name][far], plain[name][far], atol=1e-7)
        lids = np.linalg.norm(blink, axis=1) > 2e-3
        np.testing.assert_allclose(amplified[name][lids], full[name][lids], rtol=0.05, atol=1e-4)


def test_amplified_blinks_stay_within_the_motion_of_the_head_model(
    flame: HeadModel, expression_map: ExpressionMap
) -> None:
    """Where an avatar has learned more of a blink than its lids have."""
    avatar = avatar_of(flame)
    poses = [named for named in arkit_poses(expression_map) if named.name.startswith("eyeBlink")]
    faces = (flame.vertices(named.expression, named.pose) - flame.template for named in poses)
    own = np.linalg.norm(sum(faces), axis=1)
    basis = np.float32(0.3) * avatar.expression_basis
    cheek = (own > 0) & (own < 0.1 * own.max())
    basis[:, :, cheek] = avatar.expression_basis[:, :, cheek]
    weak = replace(avatar, expression_basis=basis)
    plain, amplified = (targets_of(weak, poses, head) for head in (None, flame))
    for name in plain:
        before, after = (np.linalg.norm(one[name], axis=1) for one in (plain, amplified))
        assert after.max() > 2 * before.max()
        for number in np.flatnonzero(cheek):
            distance = np.linalg.norm(flame.template - flame.template[number], axis=1)
            largest = max(own[distance < 0.016].max(), before[number])
            assert after[number] < 1.01 * largest + 1e-5


def test_blinks_of_the_reference_avatar_stay_around_its_eyes(
    reference: Path, openhead: HeadModel
) -> None:
    """Its networks have learned 0.37 of a blink, and move the inside of the head, too."""
    source = load_checkpoint(
        reference / "experiments/openhead/IMavatar/train0/train", edition="flame2020"
    )
    head = source.head
    points = canonical_points(head).points
    with torch.inference_mode():
        learned = source.deformation(torch.from_numpy(points)).expression.numpy()  # [V, 3, E]
    avatar = replace(
        avatar_of(head), expression_basis=np.ascontiguousarray(learned.transpose(2, 1, 0))
    )
    expression_map = fit_shapes(openhead, head, "").expression_map
    poses = [named for named in arkit_poses(expression_map) if named.name.startswith("eyeBlink")]
    plain, amplified = (targets_of(avatar, poses, one) for one in (None, head))
    still = head.vertices(np.zeros(50, np.float32), STILL)
    motion = sum(head.vertices(named.expression, named.pose) - still for named in poses)
    own = np.linalg.norm(motion, axis=1)
    eyes = head.joints(np.zeros(50, np.float32))[-2:]
    around = np.linalg.norm(still[:, None] - eyes, axis=2).min(axis=1) < 0.03
    lids = around & (own > 0.7 * own[around].max())
    far = np.array([np.linalg.norm(still[own > 0] - v, axis=1).min() for v in still]) > 0.016
    for name in plain:
        assert np.abs(amplified[name][far] - plain[name][far]).max() < 1e-6
    closing = [
        (sum(targets.values())[lids] * motion[lids]).sum() / (motion[lids] ** 2).sum()
        for targets in (plain, amplified)
    ]
    assert closing[0] < 0.6
    assert closing[1] == pytest.approx(1, abs=0.15)


def test_a_head_that_winks_is_left_as_it_is(openhead: HeadModel) -> None:
    """Of a model with a shape for each eye, every target is the face of the map."""
    flame = replace(openhead, edition="flame2020")
    expression_map = fit_shapes(openhead, flame, "").expression_map
    poses = arkit_poses(expression_map)
    avatar = avatar_of(flame)
    targets = {target.name: target.offset for target in shape_targets(avatar, poses, flame)}
    for named in poses:
        if named.name in targets:
            face = flame.vertices(named.expression, named.pose) - flame.template
            error = np.abs(targets[named.name].T / UNITS_PER_METRE - face).max()
            assert error < 1e-5, named.name
