"""Fuzzed track files: each gives a track or an error of one line, without running code."""

from __future__ import annotations

import io
import json
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imavatar_deploy.errors import InputError
from imavatar_deploy.tracks import TRACK_FORMATS, FlameTrack, read_track, write_track
from imavatar_deploy.untrusted import npz

from ..mutations import mutated, with_a_mutated_member, with_a_strange_value
from .tracker_files import (
    CODES,
    WHOLE,
    WRITERS,
    arkit_weights,
    json_bytes,
    lam_document,
    live_link_text,
    metrical_frame,
    motion,
    vhap_arrays,
)

SUFFIXES = [(name, suffix) for name, row in TRACK_FORMATS.items() for suffix in row.suffixes]
# EMOCA's, SMIRK's and flame-head-tracker's files have the same readers as DECA's.
LIKE_DECA = ("emoca", "smirk", "flame-head-tracker")
FUZZED = [row for row in SUFFIXES if row[0] not in LIKE_DECA or row[1] == ".pkl"]
ZIPPED = [row for row in FUZZED if row[1] in (".frame", ".pt", ".npz")]
SAME = {".pth": ".pt", ".pickle": ".pkl"}
FEW = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

MAX_BYTES = 32 << 20
"""Peak memory allowed for reading a damaged file of a few kilobytes."""


@cache
def valid_bytes(name: str, suffix: str) -> bytes:
    """Return the bytes of a valid file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"valid{SAME.get(suffix, suffix)}"
        truth = motion(2)
        if name == "flame_params":
            write_track(
                FlameTrack(truth.expression[:, :50], np.zeros((2, 15)), edition="flame2020"), path
            )
        elif name == "live-link-face":
            path.write_text(live_link_text(arkit_weights(3), np.zeros((3, 9))))
        elif name == "arkit-json":
            path.write_text(json.dumps(lam_document(arkit_weights(2))))
        elif suffix == ".json":
            path.write_bytes(json_bytes(CODES[name](truth, 0)))
        else:
            WRITERS[path.suffix](
                path, WHOLE[name](truth) if name in WHOLE else CODES[name](truth, 0)
            )
        assert len(read_track(path)) >= 1
        return path.read_bytes()


@pytest.fixture
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MAX_BYTES


def read_or_refuse(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    sentence = f"{path}: "
    try:
        assert len(read_track(path)) >= 1
    except InputError as error:
        sentence = str(error)
    assert str(path) in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(("name", "suffix"), FUZZED)
@FEW
@given(data=st.data())
def test_damaged_bytes(
    tmp_path: Path, little_memory: None, name: str, suffix: str, data: st.DataObject
) -> None:
    content = valid_bytes(name, suffix)
    read_or_refuse(tmp_path / f"damaged{suffix}", data.draw(mutated(content)))


@pytest.mark.parametrize(("name", "suffix"), ZIPPED)
@FEW
@given(data=st.data())
def test_damaged_members(
    tmp_path: Path, little_memory: None, name: str, suffix: str, data: st.DataObject
) -> None:
    content = valid_bytes(name, suffix)
    read_or_refuse(tmp_path / f"damaged{suffix}", data.draw(with_a_mutated_member(content)))


@settings(FEW, max_examples=60)
@given(data=st.data())
def test_strange_json(tmp_path: Path, data: st.DataObject) -> None:
    camera = {"world_mat": np.eye(4)[:3].tolist()}
    frames = [
        {"expression": [0.1] * 50, "pose": [0.1] * 15, "file_path": "1", **camera} for _ in range(2)
    ]
    document = {
        "frames": frames,
        "intrinsics": [-2, 2, 0.5, 0.5],
        "fps": 25,
        "head_model": "flame2020",
        "shape_params": [0.1],
    }
    read_or_refuse(tmp_path / "strange.json", data.draw(with_a_strange_value(document)).encode())


class Evil:
    """Creates a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [(name, suffix) for name, suffix in SUFFIXES if suffix not in (".json", ".npz", ".csv")],
)
def test_a_pickle_that_would_run_a_command_is_refused(
    tmp_path: Path, name: str, suffix: str
) -> None:
    content = CODES[name](motion(1), 0) | {"evil": Evil(tmp_path / "created")}
    path = WRITERS[SAME.get(suffix, suffix)](tmp_path / f"evil{suffix}", content)
    with pytest.raises(
        InputError,
        match=r"holds (posix|nt)\.system, which has no place in a track; nothing of it was",
    ) as caught:
        read_track(path)
    assert str(caught.value).count(path.name) == 1
    assert str(path) in str(caught.value)
    assert not (tmp_path / "created").exists()


def test_objects_in_an_npz_are_refused(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "x.npz",
        **vhap_arrays(motion()) | {"expr": np.array([Evil(tmp_path / "created")], dtype=object)},
    )
    with pytest.raises(InputError, match="expr.npy: it holds objects"):
        read_track(tmp_path / "x.npz")
    assert not (tmp_path / "created").exists()


PAIRS = b"K\x01" + b"".join(
    b"\x94h" + bytes([level]) + b"h" + bytes([level]) + b"\x86" for level in range(40)
)
"""Nested pairs: forty instructions that build a million million numbers."""
LONG = b"X\x10\x27\x00\x00" + b"x" * 10000 + b"q\x00"
CODE = {"exp": np.zeros((1, 50)), "pose": np.zeros((1, 6))}
BILLIONS = b"\x8a\x05\x00\xe4\x0bT\x02"
"""The number 10,000,000,000."""
PICKLES = {
    "memory for a place far away": b"\x80\x02}r\xff\xff\xff\x7f.",
    "a string of eight exabytes": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
    "a word of two gigabytes": b"\x80\x04X\xff\xff\xff\x7fabc.",
    "pairs of pairs": b"\x80\x04}(X\x03\x00\x00\x00exp" + PAIRS + b"X\x04\x00\x00\x00poseK\x01u.",
    "such pairs for a key": b"\x80\x04}" + PAIRS + b"K\x01s.",
    "copies of a long word": b"\x80\x02"
    + LONG
    + b"0c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R" * 5000
    + b".",
    "an array of billions": pickle.dumps(CODE, 2).replace(
        b"K\x01K2\x86", b"K\x01" + BILLIONS + b"\x86"
    ),
    "a number for an array's content": pickle.dumps(CODE, 4).replace(
        b"B\x90\x01\x00\x00" + bytes(400), BILLIONS
    ),
    "many unclosed marks": b"\x80\x02" + b"(" * 100000 + b".",
    "a list in itself": b"\x80\x02}(X\x03\x00\x00\x00exp]q\x00h\x00aX\x04\x00\x00\x00pose]u.",
}


@pytest.mark.parametrize("content", PICKLES.values(), ids=PICKLES.keys())
def test_a_pickle_that_would_fill_the_memory_is_refused(
    tmp_path: Path, little_memory: None, content: bytes
) -> None:
    assert content != pickle.dumps(CODE, content[1])
    (tmp_path / "bomb.pkl").write_bytes(content)
    with pytest.raises(InputError):
        read_track(tmp_path / "bomb.pkl")


def test_an_npz_with_an_excessive_header_is_refused(tmp_path: Path, little_memory: None) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (10**10, 100)}
    )
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        for key in ("expr", "rotation", "translation"):
            archive.writestr(f"{key}.npy", header.getvalue())
    with pytest.raises(InputError, match="should hold 1000000000000 times 4 bytes, got 0"):
        read_track(tmp_path / "x.npz")


def test_an_npz_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, little_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npz, "MAX_BYTES", 1 << 20)
    arrays = vhap_arrays(motion()) | {"translation": np.zeros((1 << 20, 3), np.float32)}
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=r"translation.npy would unpack to 0.0 GB"):
        read_track(tmp_path / "x.npz")


class TestTorchFiles:
    def test_the_error_of_an_old_file_says_how_to_save_it_again(self, tmp_path: Path) -> None:
        torch.save(
            metrical_frame(motion(), 0), tmp_path / "x.frame", _use_new_zipfile_serialization=False
        )
        with pytest.raises(
            InputError, match=r"older than 1\.6: save it again .* torch\.save\(torch\.load"
        ):
            read_track(tmp_path / "x.frame")

    def test_compressed_files_are_refused(self, tmp_path: Path) -> None:
        torch.save(metrical_frame(motion(), 0), tmp_path / "x.frame")
        with zipfile.ZipFile(tmp_path / "x.frame") as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(tmp_path / "x.frame", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        with pytest.raises(InputError, match="compressed, which torch never does"):
            read_track(tmp_path / "x.frame")

    @pytest.mark.parametrize(
        "place",
        [(5, (1, 6), (6, 1)), (0, (1, 10**9), (0, 0)), (-1, (1, 6), (6, 1)), (0, (2, 6), (1, -1))],
    )
    def test_tensors_beyond_their_storage_are_refused(
        self, tmp_path: Path, place: tuple[Any, ...]
    ) -> None:
        frame = metrical_frame(motion(), 0)
        frame["flame"]["jaw"] = torch.from_numpy(frame["flame"]["jaw"])
        torch.save(frame, tmp_path / "x.frame")
        with zipfile.ZipFile(tmp_path / "x.frame") as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        (name,) = [name for name in members if name.endswith("data.pkl")]
        # Offset and size follow the storage.
        before, after = members[name].split(b"QK\x00K\x01K\x06\x86", 1)
        stride = after.index(b"K\x06K\x01\x86")
        members[name] = before + b"Q" + b"".join(map(_instructions, place)) + after[stride + 5 :]
        with zipfile.ZipFile(tmp_path / "x.frame", "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        with pytest.raises(
            InputError,
            match="jaw of x.frame is not a readable array .*reaches beyond its 6 numbers",
        ):
            read_track(tmp_path / "x.frame")


def _instructions(value: Any) -> bytes:
    """Return pickle instructions that push a number or a tuple of numbers."""
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_instructions, value)) + b"t"
    return b"J" + value.to_bytes(4, "little", signed=True)
