"""The bundled OpenHead: geometry, motion, and agreement with the official code's outputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from imavatar_deploy.conventions import JAW, UNITS_PER_METRE
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.head_model import HeadModel

NEUTRAL = np.zeros(50, dtype=np.float32)
REST = np.zeros(15, dtype=np.float32)


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return HeadModel.load("openhead")


@pytest.fixture(scope="module")
def golden(reference: Path) -> dict[str, np.ndarray]:
    with np.load(reference / "golden" / "b_flame.npz") as archive:
        return dict(archive)


@pytest.mark.parametrize("source", ["openhead", "openhead.npz", "openhead_flame.pkl"])
class TestOfficialParity:
    @pytest.fixture
    def subject(self, source: str, reference: Path) -> HeadModel:
        track = json.loads((reference / "talk" / "flame_params.json").read_text(encoding="utf-8"))
        model = HeadModel.load(
            source if source == "openhead" else reference / source, edition="openhead"
        )
        return model.for_subject(np.array(track["shape_params"], dtype=np.float32))

    def test_subject(self, subject: HeadModel, golden: dict[str, np.ndarray]) -> None:
        ours = subject.template * UNITS_PER_METRE
        np.testing.assert_allclose(ours, golden["v_template_subject_x4"], rtol=0, atol=2e-6)

    def test_vertices(self, subject: HeadModel, golden: dict[str, np.ndarray]) -> None:
        for expression, pose, expected in zip(
            golden["expression"], golden["pose"], golden["vertices"], strict=True
        ):
            ours = subject.vertices(expression, pose) * UNITS_PER_METRE
            np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


def part(head: HeadModel, name: str) -> np.ndarray:
    return np.array([group == name for group in head.vertex_groups])


def moved(head: HeadModel, expression: np.ndarray = NEUTRAL, pose: np.ndarray = REST) -> np.ndarray:
    """Return the distance of each vertex from rest, in metres, [V]."""
    return np.linalg.norm(head.vertices(expression, pose) - head.template, axis=1)


def unit(head: HeadModel, name: str) -> np.ndarray:
    weights = NEUTRAL.copy()
    weights[head.expression_names.index(name)] = 1
    return weights


def turned(bone: int, *axis_angle: float) -> np.ndarray:
    pose = REST.copy()
    pose[3 * bone : 3 * bone + 3] = axis_angle
    return pose


def signed_volume(head: HeadModel, vertices: np.ndarray) -> float:
    """Return the volume enclosed by the faces of some vertices, positive if they face outward."""
    faces = head.faces[vertices[head.faces].all(axis=1)]
    centred = head.template - head.template[vertices].mean(axis=0)
    return float(np.linalg.det(centred[faces]).sum() / 6)


def test_rest_is_the_template(head: HeadModel) -> None:
    assert moved(head).max() < 1e-7
    assert head.edition == "openhead"


def test_sums_that_must_be_one(head: HeadModel) -> None:
    np.testing.assert_allclose(head.weights.sum(axis=1), 1, atol=1e-6)
    assert head.weights.min() >= 0
    np.testing.assert_allclose(head.joint_regressor.sum(axis=1), 1, atol=1e-6)


def test_size_is_that_of_a_human_head_in_metres(head: HeadModel) -> None:
    width, height, depth = np.ptp(head.template, axis=0)
    assert 0.3 < width < 0.6
    assert 0.25 < height < 0.45
    assert 0.15 < depth < 0.3


def test_expressions_are_arkits(head: HeadModel) -> None:
    assert list(head.expression_names) == sorted(set(head.expression_names))
    assert not {"jawOpen", "tongueOut"} & set(head.expression_names)
    for name in head.expression_names:
        assert moved(head, unit(head, name)).max() > 1e-3, name


@pytest.mark.parametrize(
    ("bone", "group", "side"), [(3, "helper-l-eye", 1), (4, "helper-r-eye", -1)]
)
class TestEyes:
    def test_joint_is_in_the_middle_of_the_eyeball(
        self, head: HeadModel, bone: int, group: str, side: int
    ) -> None:
        joint = head.joints(NEUTRAL)[bone]
        ball = head.template[part(head, group)]
        assert side * joint[0] > 0.02
        assert np.abs(joint - ball.mean(axis=0)).max() < 2e-4

    def test_turning_moves_the_eyeball_alone(
        self, head: HeadModel, bone: int, group: str, side: int
    ) -> None:
        distance = moved(head, pose=turned(bone, 0, 0.3, 0))
        assert distance[~part(head, group)].max() < 1e-7
        assert 2e-3 < distance[part(head, group)].max() < 6e-3

    def test_positive_turn_about_y_looks_to_the_persons_left(
        self, head: HeadModel, bone: int, group: str, side: int
    ) -> None:
        pupil = np.flatnonzero(part(head, group))[head.template[part(head, group), 2].argmax()]
        assert (
            head.vertices(NEUTRAL, turned(bone, 0, 0.3, 0))[pupil, 0]
            > head.template[pupil, 0] + 2e-3
        )

    def test_blink_moves_the_lids_alone(
        self, head: HeadModel, bone: int, group: str, side: int
    ) -> None:
        distance = moved(head, unit(head, "eyeBlinkLeft" if side > 0 else "eyeBlinkRight"))
        from_eye = np.linalg.norm(head.template - head.joints(NEUTRAL)[bone], axis=1)
        lids = (distance > 4e-3) & (
            head.template[:, 2] > 0.075
        )  # behind that, the hidden nasal cavity is dragged along
        assert distance.max() > 1e-2
        assert from_eye[lids].max() < 0.025
        assert (side * head.template[lids, 0] > 0).all()
        assert (
            distance[from_eye > 0.08].max() < 1e-7
        )  # the nose and cheek give a little, nothing else
        assert distance[~part(head, "body")].max() < 1e-7

    def test_eyeball_is_wound_outward(
        self, head: HeadModel, bone: int, group: str, side: int
    ) -> None:
        assert signed_volume(head, part(head, group)) > 0.5 * 4 / 3 * np.pi * 0.015**3


class TestJaw:
    OPEN = 0.4255

    def pose(self) -> np.ndarray:
        pose = REST.copy()
        pose[JAW.start] = self.OPEN
        return pose

    def test_joint_is_between_the_ears_and_below_the_eyes(self, head: HeadModel) -> None:
        _, neck, jaw, eye, _ = head.joints(NEUTRAL)
        assert neck[1] < jaw[1] < eye[1]
        assert neck[2] < jaw[2] < eye[2]
        assert abs(jaw[0]) < 1e-6

    def test_opening_lowers_the_lower_teeth_and_keeps_the_upper(self, head: HeadModel) -> None:
        change = head.vertices(NEUTRAL, self.pose()) - head.template
        assert change[part(head, "helper-lower-teeth"), 1].max() < -0.007
        for still in ("helper-upper-teeth", "helper-l-eye", "helper-r-eye"):
            assert np.abs(change[part(head, still)]).max() < 1e-6

    def test_lower_teeth_turn_with_the_jaw_as_one_piece(self, head: HeadModel) -> None:
        """On vertices that follow the jaw alone, correctives move less than half a millimetre."""
        teeth = part(head, "helper-lower-teeth")
        assert (head.weights[teeth, 2] == 1).all()
        feature = np.array(
            [
                0,
                0,
                0,
                0,
                np.cos(self.OPEN) - 1,
                -np.sin(self.OPEN),
                0,
                np.sin(self.OPEN),
                np.cos(self.OPEN) - 1,
            ]
        )
        assert np.abs(head.pose_basis[teeth, :, 9:18] @ feature).max() < 5e-4

    def test_only_the_jaw_corrects(self, head: HeadModel) -> None:
        assert not head.pose_basis[:, :, :9].any()
        assert not head.pose_basis[:, :, 18:].any()
        assert head.pose_basis[:, :, 9:18].any()


def test_neck_carries_head_and_leaves_shoulders(head: HeadModel) -> None:
    distance = moved(head, pose=turned(1, 0, 0.5, 0))
    top = head.template[:, 1].argmax()
    hem = head.template[:, 1] < -0.205
    assert distance[hem].max() < 5e-3
    assert distance[head.template[:, 2].argmax()] > 0.04
    assert distance[top] > 5e-3


def test_subject_moves_shape_into_the_template(head: HeadModel) -> None:
    shape = np.array([1.0, -2.0], dtype=np.float32)
    subject = head.for_subject(shape)
    assert subject.shape_basis.shape[2] == 0
    np.testing.assert_allclose(
        subject.template - head.template, head.shape_basis[:, :, :2] @ shape, atol=1e-7
    )
    with pytest.raises(InputError, match="at most 300 coefficients, got 301"):
        head.for_subject(np.zeros(301, dtype=np.float32))
    with pytest.raises(InputError, match="shape must be finite"):
        head.for_subject(np.array([np.nan], dtype=np.float32))


def test_unknown_edition_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="flame2017.*did you mean 'flame2023'"):
        HeadModel.load("openhead", edition="flame2002")
