"""Fuzzed checkpoint folders: they load, or raise an InputError of one line; sizes are checked."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imavatar_deploy.errors import InputError
from imavatar_deploy.model.checkpoint_folder import DESCRIPTION, TENSORS, read_folder
from imavatar_deploy.model.sizes import MAX_SIZE, NetworkSizes

from ..mutations import mutated, with_a_strange_value

SAMPLE = Path(__file__).resolve().parents[2] / "imavatar_deploy" / "assets" / "sample_checkpoint"
FEW = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLE, tmp_path / "checkpoint"))


def read_or_refuse(folder: Path) -> None:
    sentence = ""
    try:
        read_folder(folder, edition=None)
    except InputError as error:
        sentence = str(error)
    assert "\n" not in sentence


@FEW
@given(data=st.data())
def test_strange_descriptions(checkpoint: Path, data: st.DataObject) -> None:
    document = json.loads((SAMPLE / DESCRIPTION).read_text())
    (checkpoint / DESCRIPTION).write_text(data.draw(with_a_strange_value(document)))
    read_or_refuse(checkpoint)


@settings(FEW, max_examples=10)
@given(data=st.data())
def test_damaged_tensors(checkpoint: Path, data: st.DataObject) -> None:
    original = (SAMPLE / TENSORS).read_bytes()
    document = json.loads((SAMPLE / DESCRIPTION).read_text())
    content = data.draw(mutated(original[:3000])) + original[3000:]
    (checkpoint / TENSORS).write_bytes(content)
    document["files"][TENSORS]["sha256"] = hashlib.sha256(content).hexdigest()
    (checkpoint / DESCRIPTION).write_text(json.dumps(document))
    read_or_refuse(checkpoint)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("feature", MAX_SIZE + 1),
        ("geometry_layers", [10**12]),
        ("texture_layers", [True]),
        ("condition", 53.0),
        ("geometry_skip", [1.5]),
        ("geometry_frequencies", 10**6),
    ],
)
def test_impossible_sizes_are_refused_before_memory_is_allocated(
    checkpoint: Path, key: str, value: Any
) -> None:
    document = json.loads((checkpoint / DESCRIPTION).read_text())
    document["sizes"][key] = value
    (checkpoint / DESCRIPTION).write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"network sizes must be whole numbers of at most 16384"):
        read_folder(checkpoint, edition=None)


def test_an_unknown_vertex_group(checkpoint: Path) -> None:
    document = json.loads((checkpoint / DESCRIPTION).read_text())
    document["vertex_groups"] = document["vertex_groups"][:1]
    (checkpoint / DESCRIPTION).write_text(json.dumps(document))
    with pytest.raises(InputError, match="names groups that checkpoint.json does not"):
        read_folder(checkpoint, edition=None)


def test_the_smallest_width_is_one() -> None:
    assert NetworkSizes(geometry_layers=(1, 1), geometry_skip=(1,)).geometry_layers == (1, 1)


@pytest.mark.parametrize("radius", [None, "0.6", float("nan"), -1.0, 1e9, True])
def test_an_impossible_radius_is_refused(radius: Any) -> None:
    with pytest.raises(InputError, match="initial_radius must be a number between 0 and 1.2"):
        NetworkSizes(initial_radius=radius)
