"""Blinks of a head model that moves both eyes alike: each shape closes its own lid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.exporters.formats.arkit_shapes import arkit_poses, shape_targets
from imavatar_deploy.exporters.formats.gltf.vrm_rig import PRESETS
from imavatar_deploy.head_model import HeadModel
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
