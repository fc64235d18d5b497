"""Avatar folders: a round trip is exact, and incomplete or modified folders are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import ARRAYS, BULK_ARRAYS, MANIFEST, open_avatar, write_avatar
from imavatar_deploy.errors import InputError, UsageError


def random_avatar(vertices: int = 12) -> Avatar:
    random = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    return Avatar(
        rest=normal(3, vertices),
        canonical=normal(3, vertices),
        faces=random.integers(0, vertices, (7, 3)).astype(np.int32),
        expression_basis=normal(50, 3, vertices),
        pose_basis=normal(36, 3, vertices),
        normal_detail=normal(3, vertices),
        skin_weights=np.full((6, vertices), 1 / 6, dtype=np.float32),
        joints_rest=normal(5, 3),
        joint_basis=normal(50, 5, 3),
        texture_code=normal(vertices, 9),
        edition="openhead",
        expression_names=tuple(f"expression_{i:02d}" for i in range(50)),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden" / "golden.json").write_text("{}", encoding="utf-8")
    write_avatar(tmp_path, random_avatar(), about={"source": {"sha256": "0" * 64}})
    return tmp_path


def edit_manifest(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps(manifest | changes), encoding="utf-8")


def test_round_trip_is_exact(folder: Path) -> None:
    opened = open_avatar(folder)
    for name, array in random_avatar().arrays().items():
        np.testing.assert_array_equal(getattr(opened.avatar, name), array)
    assert opened.avatar.edition == "openhead"
    assert opened.manifest["source"]["sha256"] == "0" * 64
    assert opened.file("golden/golden.json").is_file()
    with pytest.raises(InputError, match="has no animate.onnx"):
        opened.file("animate.onnx")


def test_half_storage_halves_only_the_bulk(tmp_path: Path) -> None:
    write_avatar(tmp_path, random_avatar(), about={}, storage="float16")
    opened = open_avatar(tmp_path).avatar
    for name, array in random_avatar().arrays().items():
        stored = getattr(opened, name)
        assert stored.dtype == array.dtype
        if name in BULK_ARRAYS:
            np.testing.assert_allclose(stored, array, rtol=1e-3, atol=1e-6)
            assert (stored != array).any()
        else:
            np.testing.assert_array_equal(stored, array)


def test_unknown_storage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="float32, float16"):
        write_avatar(tmp_path, random_avatar(), about={}, storage="int3")


@pytest.mark.parametrize("name", [ARRAYS, "golden/golden.json"])
def test_one_flipped_bit_is_refused(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(InputError, match="was changed or damaged"):
        open_avatar(folder)


def test_missing_file_is_refused(folder: Path) -> None:
    (folder / ARRAYS).unlink()
    with pytest.raises(InputError, match=f"misses {ARRAYS}"):
        open_avatar(folder)


def test_not_an_avatar_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make one with imavatar-export"):
        open_avatar(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schema_version": 99}, "schema version 99"),
        ({"files": {}}, "misses its head model"),
        (
            {"files": {"../../etc/passwd": {"sha256": ""}, ARRAYS: {"sha256": ""}}},
            "outside the folder",
        ),
        ({"files": [1, 2]}, "not an avatar manifest"),
        ({"head_model": "flame1999"}, "avatar edition must be one of"),
        ({"expression_names": ["smile"]}, "got 1 expression names"),
    ],
)
def test_edited_manifest_is_refused(
    folder: Path, changes: dict[str, object], sentence: str
) -> None:
    edit_manifest(folder, **changes)
    with pytest.raises(InputError, match=sentence):
        open_avatar(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema_version": 1}'])
def test_garbage_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="not an avatar manifest"):
        open_avatar(folder)


def test_arrays_that_do_not_fit_are_refused(folder: Path) -> None:
    avatar = random_avatar()
    with pytest.raises(InputError, match=r"skin_weights must have shape \[J, 12\], got \[6, 11\]"):
        replace(avatar, skin_weights=avatar.skin_weights[:, :11])
