"""Student files: a round trip, and the messages about damaged ones."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import open_avatar, write_avatar
from imavatar_deploy.errors import InputError
from imavatar_deploy.student import STUDENT_FILE, WIDTHS, has_student, read_student, write_student

from .students import random_student


@pytest.mark.parametrize("width", WIDTHS)
def test_round_trip(tmp_path: Path, avatar: Avatar, width: int) -> None:
    student = random_student(avatar.vertex_count, width)
    write_student(tmp_path, student)
    write_avatar(tmp_path, avatar, about={})
    back = read_student(open_avatar(tmp_path))
    assert back.width == width
    for name, array in student.arrays().items():
        assert back.arrays()[name].dtype == np.float32
        np.testing.assert_allclose(
            back.arrays()[name], array, rtol=1e-3 if name == "features" else 0, atol=1e-6
        )
    assert (tmp_path / STUDENT_FILE).stat().st_size < 2 * student.features.size + 40_000


def test_a_folder_without_one_is_an_older_one(tmp_path: Path, avatar: Avatar) -> None:
    write_avatar(tmp_path, avatar, about={})
    folder = open_avatar(tmp_path)
    assert not has_student(folder)
    with pytest.raises(InputError, match=r"has no student; export it again without --no-student"):
        read_student(folder)


def test_a_student_of_another_avatar_is_refused(tmp_path: Path, avatar: Avatar) -> None:
    write_student(tmp_path, random_student(avatar.vertex_count - 1, 16))
    write_avatar(tmp_path, avatar, about={})
    with pytest.raises(
        InputError, match=rf"has features of \d+ vertices, the avatar has {avatar.vertex_count}"
    ):
        read_student(open_avatar(tmp_path))


def test_what_is_no_student_file_is_refused(tmp_path: Path, avatar: Avatar) -> None:
    (tmp_path / STUDENT_FILE).write_bytes(b"no student")
    write_avatar(tmp_path, avatar, about={})
    with pytest.raises(InputError, match="is not a safetensors file"):
        read_student(open_avatar(tmp_path))


def test_a_file_without_its_weights_is_refused(tmp_path: Path, avatar: Avatar) -> None:
    save_file(
        {"features": np.zeros((avatar.vertex_count, 16), dtype=np.float32)}, tmp_path / STUDENT_FILE
    )
    write_avatar(tmp_path, avatar, about={})
    with pytest.raises(InputError, match="misses normal_weight, condition_weight"):
        read_student(open_avatar(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"hidden_weight": np.zeros((16, 8), np.float32)},
            "hidden_weight must have shape [16, 16], got [16, 8]",
        ),
        (
            {"condition_weight": np.zeros((50, 16), np.float32)},
            "condition_weight must have shape [53, 16]",
        ),
        ({"colour_bias": np.full(3, np.nan, np.float32)}, "colour_bias must be finite"),
        ({"hidden_bias": np.zeros(16)}, "hidden_bias must be float32, got float64"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        replace(random_student(5, 16), **changes)


def test_a_width_that_nothing_draws_is_refused() -> None:
    with pytest.raises(InputError, match="a student must be 16, 32, 64 wide, got 17"):
        random_student(5, 17)
