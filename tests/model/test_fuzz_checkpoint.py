"""Checkpoint folders from strangers: they open, or are refused with one sentence; no size of theirs is believed."""

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
from imavatar_deploy.model.sizes import LARGEST, NetworkSizes

from ..mutations import mutated, with_a_strange_value

SAMPLE = Path(__file__).resolve().parents[2] / "imavatar_deploy" / "assets" / "sample_checkpoint"
FEW = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLE, tmp_path / "checkpoint"))


def refused_or_read(folder: Path) -> None:
    sentence = ""
    try:
        read_folder(folder, edition=None)
    except InputError as error:
        sentence = str(error)
    assert "\n" not in sentence


@FEW
@given(data=st.data())
def test_strange_descriptions(own: Path, data: st.DataObject) -> None:
    document = json.loads((SAMPLE / DESCRIPTION).read_text())
    (own / DESCRIPTION).write_text(data.draw(with_a_strange_value(document)))
    refused_or_read(own)


@settings(FEW, max_examples=10)
@given(data=st.data())
def test_spoilt_tensors(own: Path, data: st.DataObject) -> None:
    sound = (SAMPLE / TENSORS).read_bytes()
    document = json.loads((SAMPLE / DESCRIPTION).read_text())
    content = data.draw(mutated(sound[:3000])) + sound[3000:]
    (own / TENSORS).write_bytes(content)
    document["files"][TENSORS]["sha256"] = hashlib.sha256(content).hexdigest()
    (own / DESCRIPTION).write_text(json.dumps(document))
    refused_or_read(own)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("feature", LARGEST + 1),
        ("geometry_layers", [10**12]),
        ("texture_layers", [True]),
        ("condition", 53.0),
        ("geometry_skip", [1.5]),
        ("geometry_frequencies", 10**6),
    ],
)
def test_impossible_sizes_are_refused_before_anything_is_made(
    own: Path, key: str, value: Any
) -> None:
    document = json.loads((own / DESCRIPTION).read_text())
    document["sizes"][key] = value
    (own / DESCRIPTION).write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"network sizes must be whole numbers of at most 16384"):
        read_folder(own, edition=None)


def test_groups_that_there_are_not(own: Path) -> None:
    document = json.loads((own / DESCRIPTION).read_text())
    document["vertex_groups"] = document["vertex_groups"][:1]
    (own / DESCRIPTION).write_text(json.dumps(document))
    with pytest.raises(InputError, match="names groups that checkpoint.json does not"):
        read_folder(own, edition=None)


def test_a_width_of_one_is_a_width() -> None:
    assert NetworkSizes(geometry_layers=(1, 1), geometry_skip=(1,)).geometry_layers == (1, 1)


@pytest.mark.parametrize("radius", [None, "0.6", float("nan"), -1.0, 1e9, True])
def test_an_impossible_radius_is_refused(radius: Any) -> None:
    with pytest.raises(InputError, match="initial_radius must be a number between 0 and 1.2"):
        NetworkSizes(initial_radius=radius)
