"""Avatar: the arrays that it accepts and refuses, and its derived values."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.avatar import SHAPES, Avatar, canonical_pose
from imavatar_deploy.conventions import CANONICAL_JAW
from imavatar_deploy.errors import InputError

SIZES = {"V": 7, "F": 4, "E": 5, "J": 6, "K": 8}


def made_avatar(**changes: Any) -> Avatar:
    rng = np.random.default_rng(5)
    shapes: dict[str, Any] = {
        name: [SIZES.get(str(size), size) for size in shape] for name, shape in SHAPES.items()
    }
    fields: dict[str, Any] = {
        name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()
    }
    fields["faces"] = rng.integers(0, SIZES["V"], shapes["faces"]).astype(np.int32)
    fields["skin_weights"] = rng.dirichlet(np.ones(SIZES["J"]), SIZES["V"]).T.astype(np.float32)
    fields |= {"edition": "openhead", "expression_names": tuple("abcde")}
    return Avatar(**(fields | changes))


def test_a_sound_avatar_is_accepted() -> None:
    avatar = made_avatar()
    assert (avatar.vertex_count, avatar.expression_size, avatar.bone_count) == (7, 5, 6)
    assert all(array.flags.c_contiguous for array in avatar.arrays().values())


def test_the_ghost_bone_may_be_missing() -> None:
    assert made_avatar(skin_weights=np.full((5, 7), 0.2, np.float32)).bone_count == 5


def test_arrays_come_in_writing_order() -> None:
    assert list(made_avatar().arrays()) == list(SHAPES)


def test_arrays_of_another_layout_are_laid_out_anew() -> None:
    turned = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32).T
    avatar = made_avatar(rest=turned)
    assert avatar.rest.flags.c_contiguous
    np.testing.assert_array_equal(avatar.rest, turned)


def test_an_avatar_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        made_avatar().edition = "flame2020"  # type: ignore[misc]


@pytest.mark.parametrize("name", SHAPES)
def test_every_array_is_checked_for_shape_type_and_values(name: str) -> None:
    avatar = made_avatar()
    array = getattr(avatar, name)
    with pytest.raises(InputError, match=f"avatar array {name} must have shape"):
        replace(avatar, **{name: array[None]})
    with pytest.raises(
        InputError, match=f"avatar array {name} must be (int32|float32), got float64"
    ):
        replace(avatar, **{name: array.astype(np.float64)})
    with pytest.raises(InputError, match=f"avatar array {name} must be (int32|float32)"):
        replace(avatar, **{name: array.tolist()})
    if name != "faces":
        damaged = array.copy()
        damaged.flat[2] = np.nan
        with pytest.raises(InputError, match=f"avatar array {name} must be finite"):
            replace(avatar, **{name: damaged})


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if "V" in shape])
def test_all_arrays_have_the_same_vertices(name: str) -> None:
    avatar = made_avatar()
    axis = SHAPES[name].index("V")
    with pytest.raises(InputError, match="must have shape"):
        replace(avatar, **{name: np.delete(getattr(avatar, name), 0, axis)})


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "face beyond the vertices": (
        {"faces": np.full((4, 3), 7, np.int32)},
        r"faces must index 7 vertices, got 7\.\.7",
    ),
    "negative face": (
        {"faces": np.full((4, 3), -1, np.int32)},
        "faces must index 7 vertices, got -1",
    ),
    "four bones": (
        {"skin_weights": np.full((4, 7), 0.25, np.float32)},
        "must have 5 or 6 bones, got 4",
    ),
    "a name missing": (
        {"expression_names": tuple("abcd")},
        "avatar has 5 expressions, got 4 expression names",
    ),
    "joints of other expressions": (
        {"joint_basis": np.zeros((4, 5, 3), np.float32)},
        "joint_basis must have shape",
    ),
    "unknown edition": ({"edition": "smplx"}, "edition must be one of flame2017"),
}


@pytest.mark.parametrize(("changes", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_what_does_not_belong_together_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        made_avatar(**changes)


def test_an_avatar_without_faces_is_a_point_cloud() -> None:
    assert made_avatar(faces=np.zeros((0, 3), np.int32)).faces.shape == (0, 3)


def test_joints_move_with_the_expression() -> None:
    avatar = made_avatar()
    expression = np.array([0.5, 0.0, 0.0, -1.0, 0.0], np.float32)
    expected = avatar.joints_rest + 0.5 * avatar.joint_basis[0] - avatar.joint_basis[3]
    np.testing.assert_allclose(avatar.joints(expression), expected, rtol=1e-6)
    np.testing.assert_array_equal(avatar.joints(np.zeros(5, np.float32)), avatar.joints_rest)


def test_the_canonical_mouth_is_a_little_open() -> None:
    pose = canonical_pose()
    assert pose.shape == (15,)
    assert np.flatnonzero(pose).tolist() == [6]
    assert pose[6] == np.float32(CANONICAL_JAW)


def test_the_representation_is_one_line(avatar: Avatar) -> None:
    assert repr(avatar) == "<Avatar of openhead: 178 vertices, 352 faces, 50 expressions>"
