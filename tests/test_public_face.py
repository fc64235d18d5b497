"""Public names: a test fails when one is added or removed."""

from __future__ import annotations

import ast
import importlib
from collections import defaultdict
from pathlib import Path

import pytest

import imavatar_deploy

ROOMS = ("exporters", "runtime", "training")

FACE = {
    "imavatar_deploy": {
        "Avatar",
        "AvatarFolder",
        "Camera",
        "FlameFrame",
        "FlameTrack",
        "HeadModel",
        "ImavatarError",
        "__version__",
        "open_avatar",
        "read_track",
    },
    "imavatar_deploy.model": {
        "VARIANTS",
        "Frame",
        "ImplicitAvatar",
        "NetworkSizes",
        "HeadAvatarModel",
        "RayBundle",
        "load_checkpoint",
        "load_variant",
        "render",
        "save_checkpoint",
    },
    "imavatar_deploy.retarget": {
        "ExpressionMap",
        "MapFit",
        "Retarget",
        "find_retarget",
        "read_map",
        "write_map",
    },
    "imavatar_deploy.runtime": {
        "LiveConfig",
        "Inbox",
        "Observation",
        "Player",
        "run_live",
        "listen",
    },
    "imavatar_deploy.runtime.streams": {
        "EDITION_CODES",
        "ENCODINGS",
        "FlamePacket",
        "decode",
        "encode",
    },
}


@pytest.mark.parametrize("module", FACE)
def test_exported_names_are_pinned_and_there(module: str) -> None:
    face = importlib.import_module(module)
    assert set(face.__all__) == FACE[module]
    assert all(hasattr(face, name) for name in face.__all__)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("imavatar_deploy.model", "Variant", "HeadAvatarModel"),
        ("imavatar_deploy.model", "View", "RayBundle"),
        ("imavatar_deploy.retarget", "Fit", "MapFit"),
        ("imavatar_deploy.runtime", "Choices", "LiveConfig"),
        ("imavatar_deploy.runtime", "drive", "run_live"),
    ],
)
def test_a_renamed_name_is_kept_with_a_warning(module: str, old: str, new: str) -> None:
    package = importlib.import_module(module)
    with pytest.warns(DeprecationWarning, match=rf"{module}\.{old} is now {new}"):
        assert getattr(package, old) is getattr(package, new)


def test_look_is_kept_with_a_warning() -> None:
    driver = importlib.import_module("imavatar_deploy.runtime.live.drivers")
    source = importlib.import_module("imavatar_deploy.runtime.sources").Source
    track = driver.TrackDriver(
        source(frames=[], fps=30, edition=None, count=0), lambda *codes: codes
    )
    with pytest.warns(DeprecationWarning, match="look is now pose_at"):
        assert track.look(0.0) is None


def test_no_public_class_name_occurs_twice() -> None:
    root = Path(imavatar_deploy.__file__).parents[1]
    rooms = (importlib.import_module(f"imavatar_deploy.{room}") for room in ROOMS)
    places = [root / "imavatar_deploy", *(Path(room.__file__ or "").parent for room in rooms)]
    homes: dict[str, set[str]] = defaultdict(set)
    for path in {path for place in places for path in place.rglob("*.py")}:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].add(str(path))
    assert len(homes) > 100, "the search found no classes"
    assert {name: sorted(files) for name, files in homes.items() if len(files) > 1} == {}
