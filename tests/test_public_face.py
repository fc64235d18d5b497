"""The names other people's programs may rely on: removing one is a decision, never an accident."""

from __future__ import annotations

import importlib

import pytest

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
        "Variant",
        "View",
        "load_checkpoint",
        "load_variant",
        "render",
        "save_checkpoint",
    },
    "imavatar_deploy.retarget": {
        "ExpressionMap",
        "Fit",
        "Retarget",
        "find_retarget",
        "read_map",
        "write_map",
    },
    "imavatar_deploy.runtime": {"Choices", "Inbox", "Observation", "Player", "drive", "listen"},
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
