"""Retargeting: the choice of a strategy, the effect of each, and the error messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.errors import EditionMismatchError, InputError, UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.retarget import ExpressionMap, Retarget, find_retarget, write_map
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES, EYE_TURNS, LOOK_ANGLES
from imavatar_deploy.retarget.expression_map import CONTROLS, EYES, joined
from imavatar_deploy.retarget.openhead_codes import (
    JAW_OPEN_ANGLE,
    OPENHEAD_NAMES,
    arkit_of_openhead,
)
from imavatar_deploy.retarget.strategies import ROWS

STILL = np.zeros(15, dtype=np.float32)


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return HeadModel.load("openhead")


@pytest.fixture(scope="module")
def by_name(head: HeadModel) -> Retarget:
    return find_retarget(ARKIT, "openhead", head.expression_names)


def shapes(**weights: float) -> NDArray[np.float32]:
    return np.array([weights.get(name, 0.0) for name in ARKIT_NAMES], dtype=np.float32)


def any_face(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    return random.random(52, dtype=np.float32), random.normal(0, 0.1, 15).astype(np.float32)


class TestByName:
    def test_head_holds_the_constants(self, head: HeadModel) -> None:
        asset = Path(__file__).parents[2] / "imavatar_deploy/assets/openhead.npz"
        with np.load(asset, allow_pickle=False) as arrays:
            assert float(arrays["jaw_open_angle"]) == pytest.approx(JAW_OPEN_ANGLE, abs=1e-7)
        assert head.expression_names == OPENHEAD_NAMES

    def test_vertices_are_the_sum_of_the_morphs(self, head: HeadModel, by_name: Retarget) -> None:
        weights = any_face()[0] * (np.array(ARKIT_NAMES) != "jawOpen")
        morphs = sum(
            weight * head.expression_basis[:, :, head.expression_names.index(name)]
            for name, weight in zip(ARKIT_NAMES, weights, strict=True)
            if name in head.expression_names
        )
        np.testing.assert_allclose(
            head.vertices(*by_name(weights, STILL)), head.template + morphs, rtol=0, atol=1e-6
        )

    @pytest.mark.parametrize("name", ARKIT_NAMES)
    def test_every_shape_is_one_thing(self, by_name: Retarget, name: str) -> None:
        expression, pose = by_name(shapes(**{name: 1.0}), STILL)
        assert expression.sum() + pose.sum() == pytest.approx(
            {"jawOpen": JAW_OPEN_ANGLE, "tongueOut": 0}.get(name, 1)
        )
        assert np.count_nonzero(expression) + np.count_nonzero(pose) == (name != "tongueOut")

    def test_jaw_open_is_the_morph(self, head: HeadModel, by_name: Retarget) -> None:
        """At its angle the jaw matches the morph, which MakeHuman stores in tenths of a millimetre.

        At 0.4250 rad it deviates by up to 0.04 mm. `test_build_openhead` compares with the morph's
        file.
        """
        _, pose = by_name(shapes(jawOpen=1.0), STILL)
        np.testing.assert_allclose(pose, JAW_OPEN_ANGLE * (np.arange(15) == 6))
        moved = 1e4 * (head.vertices(np.zeros(50, dtype=np.float32), pose) - head.template)
        assert np.abs(moved).max() > 300
        np.testing.assert_allclose(moved, moved.round(), rtol=0, atol=0.005)

    def test_avatar_without_names_has_its_editions_own(self, by_name: Retarget) -> None:
        nameless = find_retarget(
            ARKIT, "openhead", [f"expression_{index:02d}" for index in range(50)]
        )
        np.testing.assert_array_equal(nameless(*any_face())[0], by_name(*any_face())[0])

    def test_names_decide_the_order(self, by_name: Retarget) -> None:
        backwards = find_retarget(ARKIT, "openhead", OPENHEAD_NAMES[::-1])
        np.testing.assert_array_equal(backwards(*any_face())[0], by_name(*any_face())[0][::-1])


class TestEyes:
    @pytest.mark.parametrize("side", ["Left", "Right"])
    @pytest.mark.parametrize("way", LOOK_ANGLES)
    def test_angles_are_those_that_the_shapes_make(
        self, head: HeadModel, side: str, way: str
    ) -> None:
        """EYE_TURNS is the rotation that best fits the shape's motion of the iris, to 0.01 rad."""
        bone = 3 if side == "Left" else 4
        arm = head.template - head.joints(np.zeros(50, dtype=np.float32))[bone]
        iris = (head.weights[:, bone] > 0.99) & (arm[:, 2] > 0.010)
        moved = head.expression_basis[iris, :, head.expression_names.index(f"eyeLook{way}{side}")]
        lever = np.stack([np.cross(axis, arm[iris]) for axis in np.eye(3)], axis=-1)
        turn = np.linalg.lstsq(lever.reshape(-1, 3), moved.ravel(), rcond=None)[0]
        expected = EYE_TURNS[ARKIT_NAMES.index(f"eyeLook{way}{side}")][3 * bone - 9 :][:3]
        np.testing.assert_allclose(expected[:2], turn[:2], rtol=0, atol=0.01)
        assert abs(turn[2]) < 0.03, "a roll that is not worth keeping"

    def test_weights_alone_turn_them_by_the_shapes(self, by_name: Retarget) -> None:
        assert not by_name(shapes(eyeLookOutLeft=1.0, eyeLookInRight=1.0), STILL)[1].any()

    def test_what_the_tracker_saw_is_not_turned_twice(
        self, head: HeadModel, by_name: Retarget
    ) -> None:
        """Live Link sends rotations and weights of one gaze: the iris follows the rotations."""
        weights = shapes(eyeLookOutLeft=0.5, eyeLookInRight=0.5)
        gaze = STILL.copy()
        gaze[[10, 13]] = 0.2
        expected = head.vertices(np.zeros(50, dtype=np.float32), gaze)
        came = head.vertices(*by_name(weights, gaze))
        for bone in (3, 4):
            iris = (head.weights[:, bone] > 0.99) & (head.template[:, 2] > 0.087)
            assert (expected[iris] - head.template[iris])[:, 0].mean() > 2e-3, (
                "to the person's left"
            )
            assert np.linalg.norm((came - expected)[iris], axis=1).max() < 0.8e-3

    @pytest.mark.parametrize("map_file", ["sparse", "map"])
    def test_what_the_tracker_saw_comes_before_what_weights_say(
        self, tmp_path: Path, map_file: str
    ) -> None:
        if map_file == "map":
            map_file = str(tmp_path / "map.npz")
            write_map(
                ExpressionMap(ARKIT, "flame2020", np.ones((52, 59), dtype=np.float32)), map_file
            )
        retarget = find_retarget(ARKIT, "flame2020", (), map_file=map_file)
        gaze = STILL.copy()
        gaze[9:] = np.linspace(0.1, 0.2, 6)
        weights = shapes(eyeLookDownLeft=1.0, eyeLookDownRight=1.0)
        np.testing.assert_array_equal(retarget(weights, gaze)[1][EYES], gaze[EYES])
        assert retarget(weights, STILL)[1][[9, 12]].min() > 0.2


def test_sparse_moves_jaw_and_eyes_and_says_so(head: HeadModel) -> None:
    retarget = find_retarget(ARKIT, "flame2023", (), map_file="sparse")
    assert "FACE WILL HARDLY MOVE" in retarget.note
    expression, pose = retarget(
        shapes(jawOpen=1.0, jawLeft=1.0, mouthSmileLeft=1.0, eyeLookOutLeft=1.0), STILL
    )
    assert not expression.any()
    np.testing.assert_allclose(pose[6:], [JAW_OPEN_ANGLE, 0.1, 0, 0, 0.36, 0, 0, 0, 0], atol=1e-6)
    chin = head.template[:, 2].argmax()
    pose[6] = 0
    assert (head.vertices(expression, pose) - head.template)[chin, 0] >= 0, (
        "jawLeft goes to the person's left"
    )


def test_map_is_a_matrix_and_a_bias(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    matrix = random.normal(size=(52, 59)).astype(np.float32)
    bias = random.normal(size=59).astype(np.float32)
    write_map(ExpressionMap(ARKIT, "flame2020", matrix, bias), tmp_path / "map.npz")
    retarget = find_retarget(ARKIT, "flame2020", (), map_file=tmp_path / "map.npz")
    weights, pose = any_face()
    expression, posed = retarget(weights, np.where(np.arange(15) < 9, pose, 0).astype(np.float32))
    np.testing.assert_allclose(
        np.concatenate([expression, posed[6:]]), weights @ matrix + bias, rtol=0, atol=1e-5
    )
    np.testing.assert_array_equal(posed[:6], pose[:6], "rotation and neck pass")
    assert "arkit52 to flame2020" in retarget.note


def openhead_face() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Codes of OpenHead as a camera's tracking sends them, its jaw opened by 0.2 rad."""
    weights, pose = any_face()
    pose[6:9] = 0.2, 0, 0
    return weights[:50], pose


def test_openheads_codes_are_arkits_weights(by_name: Retarget) -> None:
    """The conversion is the inverse of the one that drives OpenHead by ARKit's shapes."""
    codes = openhead_face()
    codes[1][9:] = 0
    weights, rest = arkit_of_openhead(*codes)
    assert not rest[6:].any()
    for came, sent in zip(by_name(weights, rest), codes, strict=True):
        np.testing.assert_allclose(came, sent, rtol=0, atol=1e-7)


def test_a_map_of_arkits_shapes_reads_openheads_codes(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).normal(size=(52, 59)).astype(np.float32)
    write_map(ExpressionMap(ARKIT, "flame2020", matrix), tmp_path / "map.npz")
    by_shapes = find_retarget(ARKIT, "flame2020", (), map_file=tmp_path / "map.npz")
    by_codes = find_retarget("openhead", "flame2020", (), map_file=tmp_path / "map.npz")
    expected = by_shapes(*arkit_of_openhead(*openhead_face()))
    for came, sent in zip(by_codes(*openhead_face()), expected, strict=True):
        np.testing.assert_array_equal(came, sent)
    np.testing.assert_array_equal(by_codes(*openhead_face())[1][EYES], openhead_face()[1][EYES])


def test_sparse_keeps_the_jaw_and_the_eyes_of_openheads_codes() -> None:
    expression, pose = find_retarget("openhead", "flame2020", (), map_file="sparse")(
        np.zeros(50, dtype=np.float32), openhead_face()[1]
    )
    assert not expression.any()
    np.testing.assert_allclose(pose, openhead_face()[1], rtol=0, atol=1e-7)


def test_map_between_editions_reads_the_pose_too(tmp_path: Path) -> None:
    matrix = np.eye(len(CONTROLS), dtype=np.float32)[::-1]
    write_map(ExpressionMap("flame2020", "flame2023", matrix), tmp_path / "map.npz")
    retarget = find_retarget("flame2020", "flame2023", (), map_file=tmp_path / "map.npz")
    weights, pose = any_face()
    np.testing.assert_allclose(
        joined(*retarget(weights[:50], pose)), joined(weights[:50], pose)[::-1]
    )


def ways(tmp_path: Path) -> dict[str, Retarget]:
    """Return one retarget of every row."""
    write_map(
        ExpressionMap(ARKIT, "flame2020", np.ones((52, 59), dtype=np.float32)), tmp_path / "a.npz"
    )
    return {
        "map": find_retarget(ARKIT, "flame2020", (), map_file=tmp_path / "a.npz"),
        "sparse": find_retarget(ARKIT, "flame2020", (), map_file="sparse"),
        "same edition": find_retarget("flame2020", "flame2020", ()),
        "by name": find_retarget(ARKIT, "openhead", OPENHEAD_NAMES),
    }


def test_every_way_leaves_what_it_is_given_alone(tmp_path: Path) -> None:
    retargets = ways(tmp_path)
    assert {row.name for row in ROWS} == set(retargets)
    for name, retarget in retargets.items():
        weights, pose = any_face()
        weights = weights[: retarget.size]
        copies = weights.copy(), pose.copy()
        expression, posed = retarget(weights, pose)
        assert (expression.shape, posed.shape) == ((50,), (15,)), name
        assert (expression.dtype, posed.dtype) == (np.float32, np.float32), name
        np.testing.assert_array_equal(posed[:6], pose[:6], name)
        expression += 1
        posed += 1
        np.testing.assert_array_equal(weights, copies[0], name)
        np.testing.assert_array_equal(pose, copies[1], name)
        with pytest.raises(InputError, match=f"reads {retarget.size} weights and a pose of 15"):
            retarget(weights[:-1], pose)
        assert len(retarget.note.splitlines()) == 1


@pytest.mark.parametrize("edition", EDITIONS)
def test_codes_of_the_avatars_own_edition_pass(edition: str) -> None:
    weights, pose = any_face()
    for vocabulary, any_edition in ((edition, False), (None, True)):
        retarget = find_retarget(vocabulary, edition, (), any_edition=any_edition)
        expression, posed = retarget(weights[:50], pose)
        np.testing.assert_array_equal(expression, weights[:50])
        np.testing.assert_array_equal(posed, pose)


@pytest.mark.parametrize("vocabulary", ["flame2020", "flame2023-no-jaw", None])
def test_sparse_keeps_the_bones_of_a_flame_track(vocabulary: str | None) -> None:
    weights, pose = any_face()
    retarget = find_retarget(vocabulary, "openhead", (), map_file="sparse")
    expression, posed = retarget(weights[:50], pose)
    assert not expression.any()
    np.testing.assert_array_equal(posed, pose)
    assert "jaw and eyes alone" in retarget.note


def test_other_codes_pass_when_asked() -> None:
    retarget = find_retarget("flame2020", "flame2023", (), any_edition=True)
    assert "played as flame2023" in retarget.note
    np.testing.assert_array_equal(
        retarget(*(array[:50] for array in any_face()))[0], any_face()[0][:50]
    )


@pytest.mark.parametrize(
    ("vocabulary", "edition", "options", "error", "words"),
    [
        ("flame2020", "flame2023", {}, EditionMismatchError, "--map FILE .*fit-map.*--any-edition"),
        (
            "openhead",
            "flame2020",
            {},
            EditionMismatchError,
            "avatar of flame2020.*fit-map --from openhead .*--edition flame2020",
        ),
        (
            ARKIT,
            "flame2020",
            {},
            EditionMismatchError,
            "fit-map --from openhead .*--edition flame2020.*--map sparse",
        ),
        (ARKIT, "flame2020", {"any_edition": True}, EditionMismatchError, "give a map"),
        (
            "flame2020",
            "openhead",
            {},
            EditionMismatchError,
            "--codes --from .* --to openhead .*, with flame2020's own .*--map sparse",
        ),
        (
            None,
            "openhead",
            {},
            EditionMismatchError,
            "does not name the head model of its codes .*--edition NAME.*--any-edition",
        ),
        (
            ARKIT,
            "flame2020",
            {"map_file": "{codes}"},
            InputError,
            "a map from flame2019 .* is of arkit52",
        ),
        (
            "flame2019",
            "flame2020",
            {"map_file": "{codes}"},
            EditionMismatchError,
            "map to flame2023 .*--any-edition",
        ),
        (
            ARKIT,
            "flame2020",
            {"map_file": "nowhere.npz"},
            InputError,
            "there is no map 'nowhere.npz'",
        ),
        ("arkit51", "openhead", {}, UsageError, "did you mean 'arkit52'"),
        (ARKIT, "flame2022", {}, UsageError, "unknown head-model edition"),
    ],
)
def test_refusals_say_what_to_do(
    tmp_path: Path,
    vocabulary: str,
    edition: str,
    options: dict[str, str],
    error: type[Exception],
    words: str,
) -> None:
    codes = tmp_path / "codes.npz"
    write_map(ExpressionMap("flame2019", "flame2023", np.eye(59, dtype=np.float32)), codes)
    if "map_file" in options:
        options = {**options, "map_file": options["map_file"].format(codes=codes)}
    with pytest.raises(error, match=words) as raised:
        find_retarget(vocabulary, edition, (), **options)  # type: ignore[arg-type]
    assert type(raised.value) is error


def test_map_of_another_head_passes_when_asked(tmp_path: Path) -> None:
    write_map(
        ExpressionMap(ARKIT, "flame2020", np.ones((52, 59), dtype=np.float32)), tmp_path / "map.npz"
    )
    retarget = find_retarget(
        ARKIT, "flame2023", (), map_file=tmp_path / "map.npz", any_edition=True
    )
    assert retarget(shapes(jawOpen=1.0), STILL)[0].all()
