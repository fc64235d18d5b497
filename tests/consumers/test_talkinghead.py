"""A GLB of the profile `talkinghead`, loaded and spoken by the package `@met4citizen/talkinghead`.

What is absent is skipped, as in `test_consumers`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.exporters.formats.gltf.talkinghead import VISEMES, write_talkinghead
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.retarget.arkit import ARKIT_NAMES

from ..exporters.test_gltf import LICENCE
from ..tiny_avatar import tiny_avatar
from .page import run_page
from .test_browser import shown

SHOWN = ("jawOpen", "eyesClosed")
"""Targets whose pictures are compared with that of the neutral face."""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What TalkingHead did with the egg: names, largest weights, pictures, positions."""
    folder = tmp_path_factory.mktemp("talkinghead")
    names = HeadModel.load("openhead").expression_names
    head = replace(tiny_avatar(24, 32), expression_names=names)
    colours = np.random.default_rng(4).random((head.vertex_count, 3)).astype(np.float32)
    write_talkinghead(folder / "a.glb", head, colours, licence=LICENCE)
    request = {"file": "a.glb", "visemes": list(VISEMES), "shown": SHOWN, "size": 256}
    answer: dict[str, Any] = run_page(
        "@met4citizen/talkinghead",
        "talkinghead_page.mjs",
        request,
        {"a.glb": folder / "a.glb"},
        folder / "profile",
    )
    return answer


def test_loads_with_every_target(result: dict[str, Any]) -> None:
    assert set(result["names"]) >= {*ARKIT_NAMES, *(f"viseme_{name}" for name in VISEMES)}
    assert result["count"] == len(result["names"]) == 72, "the package adds no shapes of its own"


def test_stands_on_the_floor_in_view_of_the_camera(result: dict[str, Any]) -> None:
    assert result["eye"][1] == pytest.approx(1.55, abs=0.2)
    assert result["toe"][1] == pytest.approx(0.0, abs=0.1)
    picture = shown(result)[0]
    assert (picture.min(axis=2) < 0.95).mean() > 0.1, "the head is in the picture"


def test_speaks_every_viseme(result: dict[str, Any]) -> None:
    spoken = {name for name, weight in result["largest"].items() if weight > 0.2}
    assert spoken >= set(VISEMES) - {"sil"}, result["largest"]


def test_targets_change_the_picture(result: dict[str, Any]) -> None:
    still, *pictures = shown(result)
    for name, picture in zip(SHOWN, pictures, strict=True):
        assert np.abs(picture - still).mean() > 1e-3, name
