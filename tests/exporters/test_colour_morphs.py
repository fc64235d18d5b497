"""Colours of GLB and VRM that follow the expression: when they are stored, and their losses."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.exporters.bake import Bake, bake
from imavatar_deploy.exporters.formats.format import ExportInput
from imavatar_deploy.exporters.formats.gltf import colour_morphs
from imavatar_deploy.exporters.formats.gltf.colour_morphs import (
    VISIBLE_CHANGE,
    SeenColours,
    colour_losses,
    target_colours,
)
from imavatar_deploy.exporters.formats.gltf.glb import write_glb
from imavatar_deploy.exporters.formats.gltf.materials import colour_factor
from imavatar_deploy.exporters.formats.gltf.morph_targets import JAW_CORRECTIVE, open_jaw
from imavatar_deploy.exporters.formats.gltf.reader import GlbPlayback
from imavatar_deploy.exporters.formats.gltf.settings import GlbSettings
from imavatar_deploy.exporters.mesh_cleanup import canonical_points, extract_surface, simplify
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.exporters.srgb import as_shown, linear
from imavatar_deploy.exporters.surface_colours import vertex_colours
from imavatar_deploy.model import ImplicitAvatar, load_checkpoint
from imavatar_deploy.model.surface.extract import field_of
from imavatar_deploy.progress import silent

from .test_gltf import LICENCE, khronos

SETTINGS = ExportSettings(formats=("glb",), resolution=64, faces=500)


@pytest.fixture(scope="module")
def source(checkpoint: Path) -> ImplicitAvatar:
    return load_checkpoint(checkpoint)


@pytest.fixture(scope="module")
def baked(source: ImplicitAvatar) -> Bake:
    """A bake whose last twenty vertices no camera saw."""
    surface = extract_surface(field_of(source), canonical_points(source.head), SETTINGS, silent)
    result = bake(source, simplify(surface.mesh, 500))
    filled = result.filled.copy()
    filled[-20:] = True
    return replace(result, filled=filled)


def seen_colours(source: ImplicitAvatar, baked: Bake, **options: Any) -> SeenColours:
    settings = replace(SETTINGS, glb=GlbSettings(**options))
    subject = ExportInput(source, baked, settings, {})
    return SeenColours(subject, vertex_colours(source, baked))


def test_targets_have_the_networks_colours_where_a_camera_saw(
    source: ImplicitAvatar, baked: Bake
) -> None:
    colours = seen_colours(source, baked, colour_morphs=True)
    targets = target_colours(colours, JAW_CORRECTIVE, silent)
    assert set(targets) == {JAW_CORRECTIVE, *baked.avatar.expression_names}
    whole = vertex_colours(source, baked, pose=open_jaw())
    seen = ~baked.filled
    assert targets[JAW_CORRECTIVE][seen] == pytest.approx(whole[seen], abs=1e-6)
    assert np.array_equal(targets[JAW_CORRECTIVE][~seen], colours.neutral[~seen])
    assert np.abs(whole - colours.neutral)[~seen].max() > 1e-3, "the unseen ones change, too"


@pytest.mark.parametrize(
    ("threshold", "stored"), [(0.0, True), (1.1, False)], ids=["visible", "not visible"]
)
def test_by_default_they_are_stored_where_they_are_visible(
    threshold: float,
    stored: bool,
    source: ImplicitAvatar,
    baked: Bake,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(colour_morphs, "VISIBLE_CHANGE", threshold)
    colours = seen_colours(source, baked)
    assert bool(target_colours(colours, JAW_CORRECTIVE, silent)) is stored
    forced = seen_colours(source, baked, colour_morphs=True)
    assert target_colours(forced, JAW_CORRECTIVE, silent)


def test_nothing_is_computed_that_is_not_stored(
    source: ImplicitAvatar, baked: Bake, monkeypatch: pytest.MonkeyPatch
) -> None:
    colours = seen_colours(source, baked, colour_morphs=False)
    monkeypatch.setattr(colour_morphs, "vertex_colours", None)
    assert target_colours(colours, JAW_CORRECTIVE, silent) == {}


def test_a_change_is_visible_on_half_a_hundredth_of_the_seen_vertices(
    source: ImplicitAvatar, baked: Bake
) -> None:
    colours = seen_colours(source, baked)
    enough = int(np.ceil(0.005 * len(colours.seen)))
    for count, change, visible in (
        (enough, VISIBLE_CHANGE * 1.01, True),
        (enough - 1, VISIBLE_CHANGE * 1.01, False),
        (enough, VISIBLE_CHANGE * 0.99, False),
    ):
        changed = colours.neutral.copy()
        changed[colours.seen[:count], 1] += change
        changed[~np.isin(np.arange(len(changed)), colours.seen)] += 1.0
        assert colours.changes_visibly(changed) is visible, (count, change)


@pytest.mark.parametrize("colour", ["vertex", "texture"])
def test_changes_that_add_up_lose_less_than_neutral_colours(
    colour: str, source: ImplicitAvatar, baked: Bake
) -> None:
    colours = seen_colours(source, baked, colour_morphs=True, colour=colour)
    targets = target_colours(colours, JAW_CORRECTIVE, silent)
    lost = colour_losses(colours, targets, JAW_CORRECTIVE, silent)
    assert lost["colour changes that add up"] < 0.7 * lost["colours of the neutral face alone"]
    assert lost["light that turns with the head"] > 0
    alone = colour_losses(colours, {}, JAW_CORRECTIVE, silent)
    assert set(lost) - set(alone) == {"colour changes that add up"}
    few = {name: targets[name] for name in baked.avatar.expression_names[:2]}
    fewer = colour_losses(colours, few, JAW_CORRECTIVE, silent)
    assert fewer["colour changes that add up"] > lost["colour changes that add up"]


def test_changes_are_integers_and_their_bytes_are_stated(
    source: ImplicitAvatar, baked: Bake, tmp_path: Path
) -> None:
    colours = seen_colours(source, baked, colour_morphs=True)
    targets = target_colours(colours, JAW_CORRECTIVE, silent)
    plain = write_glb(tmp_path / "plain.glb", baked.avatar, colours.neutral, licence=LICENCE)
    path = tmp_path / "a.glb"
    facts = write_glb(path, baked.avatar, colours.neutral, licence=LICENCE, colours_at=targets)
    assert plain.colour_morph_bytes == 0
    data = path.read_bytes()
    (length,) = struct.unpack_from("<I", data, 12)
    document = json.loads(data[20 : 20 + length])
    (primitive,) = document["meshes"][0]["primitives"]
    entries = [document["accessors"][target["COLOR_0"]] for target in primitive["targets"]]
    kinds = {(row["componentType"], row["type"], row["normalized"]) for row in entries}
    assert kinds == {(5122, "VEC4", True)}
    described = len(json.dumps(document, separators=(",", ":")))
    stored = facts.bytes - plain.bytes - facts.colour_morph_bytes
    assert 0 < stored < described, "the rest of the growth is the description of the accessors"
    file = GlbPlayback(path)
    shown = as_shown(file.colours_at("cheekPuff"))
    assert np.abs(shown - targets["cheekPuff"]).max() <= 1.5 / 255
    result = khronos(path)
    assert ": 0 errors, 0 warnings" in result.stdout, result.stdout + result.stderr


def test_an_image_is_multiplied_by_the_change() -> None:
    neutral = np.array([[0.5, 0.5, 0.5], [0.2, 0.6, 0.4], [0.3, 0.3, 0.3]], dtype=np.float32)
    colours = np.array([[0.6, 0.4, 0.5], [0.2, 0.6, 0.403], [0.9, 0.0, 0.3]], dtype=np.float32)
    factor = 1.0 + colour_factor(neutral, colours)
    assert linear(neutral[0]) * factor[0, :3] == pytest.approx(linear(colours[0]), abs=1e-6)
    assert factor[1].tolist() == [1, 1, 1, 1], "a change that eight bits cannot show"
    assert factor[2].tolist() == [2, 0, 1, 1], "a factor ends at 0 and 2"
