"""Fuzzing of head models and avatar folders: damaged files open or raise an InputError."""

from __future__ import annotations

import hashlib
import json
import pickle
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imavatar_deploy.avatar_io import ARRAYS, MANIFEST, open_avatar
from imavatar_deploy.errors import InputError
from imavatar_deploy.fidelity.golden import GOLDEN_ARRAYS_FILE as GOLDEN
from imavatar_deploy.fidelity.golden import GOLDEN_FILE, read_golden
from imavatar_deploy.fidelity.stage_metrics import TOLERANCES_FILE, read_tolerances
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.student import STUDENT_FILE, read_student
from imavatar_deploy.untrusted.flame_pickle import MAX_DENSE_ENTRIES

from .mutations import mutated, with_a_mutated_member, with_a_strange_value
from .test_head_files import flame, write_npz, write_pickle

FEW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MOST = 64 << 20


@pytest.fixture
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MOST


def refused_or_read(read: Callable[[], Any], path: Path) -> None:
    sentence = str(path)
    try:
        read()
    except InputError as error:
        sentence = str(error)
    assert "\n" not in sentence


@pytest.mark.parametrize("spoil", [mutated, with_a_mutated_member], ids=["bytes", "members"])
@FEW
@given(data=st.data())
def test_head_models_in_npz(
    tmp_path: Path, little_memory: None, spoil: Any, data: st.DataObject
) -> None:
    path = write_npz(tmp_path, flame(150))
    path.write_bytes(data.draw(spoil(path.read_bytes())))
    refused_or_read(lambda: HeadModel.load(path, edition="flame2020"), path)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@FEW
@given(data=st.data())
def test_head_models_in_pickles(
    tmp_path: Path, little_memory: None, protocol: int, data: st.DataObject
) -> None:
    arrays = flame(150) | {
        "J_regressor": scipy.sparse.csc_matrix(np.full((5, 6), 1 / 6)),
        "bs_style": "lbs",
    }
    path = write_pickle(tmp_path, arrays, protocol)
    path.write_bytes(data.draw(mutated(path.read_bytes())))
    refused_or_read(lambda: HeadModel.load(path, edition="flame2020"), path)


def test_a_sparse_matrix_that_would_fill_the_memory_is_refused(
    tmp_path: Path, little_memory: None
) -> None:
    path = write_pickle(
        tmp_path, flame() | {"J_regressor": scipy.sparse.csr_matrix((5, MAX_DENSE_ENTRIES))}
    )
    with pytest.raises(
        InputError, match="J_regressor .*a sparse matrix of 5 x 67108864 is no part of a head"
    ):
        HeadModel.load(path, edition="flame2020")


def test_a_number_in_place_of_bytes_reserves_nothing(tmp_path: Path, little_memory: None) -> None:
    content = pickle.dumps(flame() | {"weights": np.zeros(50)}, 4)
    damaged = content.replace(b"B\x90\x01\x00\x00" + bytes(400), b"\x8a\x05\x00\xe4\x0bT\x02")
    assert damaged != content
    (tmp_path / "h.pkl").write_bytes(damaged)
    with pytest.raises(InputError, match="weights .*content must be bytes, got int"):
        HeadModel.load(tmp_path / "h.pkl", edition="flame2020")


def listed(folder: Path, name: str) -> None:
    """Write the hash of a modified file into the manifest."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][name]["sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))


@contextmanager
def damaged(path: Path, content: bytes) -> Iterator[None]:
    """Replace the content of a file within the block; all examples of hypothesis share a folder."""
    sound = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(sound)


@settings(FEW, max_examples=80)
@given(data=st.data())
def test_avatars_with_a_strange_manifest(own_avatar_folder: Path, data: st.DataObject) -> None:
    path = own_avatar_folder / MANIFEST
    content = data.draw(with_a_strange_value(json.loads(path.read_text()))).encode()
    with damaged(path, content):
        refused_or_read(lambda: open_avatar(own_avatar_folder), own_avatar_folder)


@FEW
@given(data=st.data())
def test_avatars_with_a_spoilt_manifest(own_avatar_folder: Path, data: st.DataObject) -> None:
    path = own_avatar_folder / MANIFEST
    with damaged(path, data.draw(mutated(path.read_bytes()))):
        refused_or_read(lambda: open_avatar(own_avatar_folder), own_avatar_folder)


READERS: dict[str, Callable[[Path], Any]] = {
    ARRAYS: open_avatar,
    STUDENT_FILE: lambda folder: read_student(open_avatar(folder)),
    GOLDEN_FILE: read_golden,
    GOLDEN: read_golden,
}


@pytest.mark.parametrize("name", READERS)
@FEW
@given(data=st.data())
def test_avatars_with_a_spoilt_file(
    own_avatar_folder: Path, little_memory: None, name: str, data: st.DataObject
) -> None:
    """The manifest holds the hash of the damaged file."""
    path = own_avatar_folder / name
    sound = path.read_bytes()
    head = sound[:3000] if name.endswith("safetensors") and data.draw(st.booleans()) else sound
    with damaged(path, data.draw(mutated(head)) + sound[len(head) :]):
        listed(own_avatar_folder, name)
        refused_or_read(lambda: READERS[name](own_avatar_folder), own_avatar_folder)


@pytest.mark.parametrize("name", [MANIFEST, GOLDEN_FILE, TOLERANCES_FILE])
def test_json_deeper_than_python_goes(own_avatar_folder: Path, name: str) -> None:
    reader: Callable[[Path], Any] = {MANIFEST: open_avatar, GOLDEN_FILE: read_golden}.get(
        name, lambda folder: read_tolerances(folder / TOLERANCES_FILE)
    )
    (own_avatar_folder / name).write_text("[" * 100_000)
    with pytest.raises(InputError):
        reader(own_avatar_folder)


@pytest.mark.parametrize("name", [MANIFEST, GOLDEN_FILE, TOLERANCES_FILE])
def test_a_message_does_not_repeat_a_file(own_avatar_folder: Path, name: str) -> None:
    """The representation of a decoding error holds all bytes of the file."""
    reader: Callable[[Path], Any] = {MANIFEST: open_avatar, GOLDEN_FILE: read_golden}.get(
        name, lambda folder: read_tolerances(folder / TOLERANCES_FILE)
    )
    (own_avatar_folder / name).write_bytes(b'{"foreign": "' + 3000 * b"words " + b"\xff")
    with pytest.raises(InputError) as caught:
        reader(own_avatar_folder)
    assert len(str(caught.value)) < 300 + len(str(own_avatar_folder))
