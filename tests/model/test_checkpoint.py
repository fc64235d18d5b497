"""Checkpoint folders: round trips, and errors for damaged ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imavatar_deploy.avatar_io import sha256
from imavatar_deploy.errors import EditionMismatchError, InputError, UsageError
from imavatar_deploy.model import (
    VARIANTS,
    HeadAvatarModel,
    ImplicitAvatar,
    load_checkpoint,
    load_variant,
    save_checkpoint,
)
from imavatar_deploy.model import Frame as PosedFrame
from imavatar_deploy.model.checkpoint import checkpoint_sha256

Frame = tuple[torch.Tensor, torch.Tensor]


def outputs(avatar: ImplicitAvatar, points: torch.Tensor, frame: Frame) -> list[torch.Tensor]:
    """Return the outputs of all networks of an avatar and the deformed points."""
    with torch.no_grad():
        geometry = avatar.geometry(points)
        deformed = avatar.deform(points, *frame)
        normal = torch.nn.functional.normalize(points, dim=-1)
        rgb = avatar.texture(points, normal, avatar.condition(*frame), geometry.feature)
        return [*geometry, *avatar.deformation(points), deformed, rgb]


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("latent", [0, 3])
def test_round_trip_of_every_variant(
    make_variant: Callable[..., HeadAvatarModel],
    name: str,
    latent: int,
    tmp_path: Path,
    points: torch.Tensor,
    frame: Frame,
) -> None:
    model = make_variant(name, latent=latent)
    save_checkpoint(model, tmp_path / "run" / "checkpoint")
    folder = tmp_path / "run" / "checkpoint"
    assert json.loads((folder / "checkpoint.json").read_text())["variant"] == name
    for path in (tmp_path / "run", folder):  # the folder of a training run is valid, too
        loaded = load_variant(path)
        assert type(loaded) is type(model)
        assert not loaded.training
        assert (loaded.sizes, loaded.provenance, loaded.head.edition) == (
            model.sizes,
            {"kind": "test"},
            "flame2020",
        )
        before, after = (
            each.find_canonical(points, PosedFrame(*frame)) for each in (model, loaded)
        )
        assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
        assert checkpoint_sha256(path) == sha256(folder / "networks.safetensors")


@pytest.mark.parametrize("name", VARIANTS)
def test_load_checkpoint_accepts_the_networks_of_the_paper_only(
    make_variant: Callable[..., HeadAvatarModel], name: str, tmp_path: Path
) -> None:
    save_checkpoint(make_variant(name), tmp_path / "checkpoint", half=True)
    if name in ("imavatar", "imavatar-minus"):
        assert load_checkpoint(tmp_path).name == name
        return
    with pytest.raises(
        InputError, match=f"is of variant {name}, whose surface cannot be baked once for every expr"
    ):
        load_checkpoint(tmp_path)


def test_the_default_variant_is_that_of_the_paper(small: ImplicitAvatar, saved: Path) -> None:
    description = json.loads((saved / "checkpoint.json").read_text())
    del description["variant"]
    (saved / "checkpoint.json").write_text(json.dumps(description))
    assert type(load_checkpoint(saved)) is ImplicitAvatar


@pytest.fixture
def saved(small: ImplicitAvatar, tmp_path: Path) -> Path:
    save_checkpoint(small, tmp_path / "saved")
    return tmp_path / "saved"


@pytest.mark.parametrize(
    "sizes", [{}, {"latent": 32, "bones": 5, "deformation_frequencies": 1}], ids=["plain", "odd"]
)
def test_round_trip_is_exact(
    make_avatar: Callable[..., ImplicitAvatar],
    sizes: dict[str, int],
    tmp_path: Path,
    points: torch.Tensor,
    frame: Frame,
) -> None:
    avatar = make_avatar(**sizes)
    avatar.head = replace(avatar.head, vertex_groups=("skin", "teeth", "skin") * 4)
    save_checkpoint(avatar, tmp_path / "saved")
    loaded = load_checkpoint(tmp_path / "saved")
    assert not loaded.training
    assert (loaded.sizes, loaded.provenance) == (avatar.sizes, avatar.provenance)
    for field in fields(avatar.head):
        before = getattr(avatar.head, field.name)
        after = getattr(loaded.head, field.name)
        assert np.array_equal(before, after), field.name
        assert not isinstance(before, np.ndarray) or before.dtype == after.dtype
    for before, after in zip(
        outputs(avatar, points, frame), outputs(loaded, points, frame), strict=True
    ):
        assert torch.equal(before, after)


def test_half_precision_of_the_published_sizes(
    official: ImplicitAvatar, tmp_path: Path, points: torch.Tensor, frame: Frame
) -> None:
    save_checkpoint(official, tmp_path / "whole")
    save_checkpoint(official, tmp_path / "half", half=True)
    loaded = load_checkpoint(tmp_path / "half")
    for before, after in zip(
        outputs(official, points, frame), outputs(loaded, points, frame), strict=True
    ):
        assert after.dtype == torch.float32
        torch.testing.assert_close(after, before, atol=1e-3, rtol=0)
    whole, half = (
        (tmp_path / name / "networks.safetensors").stat().st_size for name in ("whole", "half")
    )
    assert half < 0.55 * whole


@pytest.mark.parametrize("half", [False, True])
def test_same_avatar_same_bytes(small: ImplicitAvatar, tmp_path: Path, half: bool) -> None:
    for name in ("one", "two"):
        save_checkpoint(small, tmp_path / name, half=half)
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {"checkpoint.json", "networks.safetensors"}
    assert all(
        (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        for name in names
    )


def test_an_existing_checkpoint_is_replaced_only_with_overwrite(
    small: ImplicitAvatar, saved: Path
) -> None:
    with pytest.raises(UsageError, match="already there"):
        save_checkpoint(small, saved)
    save_checkpoint(small, saved, overwrite=True)
    assert [path.name for path in saved.parent.iterdir()] == ["saved"]


def test_hash_is_of_the_tensors(saved: Path) -> None:
    assert checkpoint_sha256(saved) == sha256(saved / "networks.safetensors")


def test_sample_names_the_bundled_checkpoint(
    saved: Path, small: ImplicitAvatar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imavatar_deploy.model.checkpoint.SAMPLE", saved)
    assert load_checkpoint("sample").sizes == small.sizes
    assert checkpoint_sha256("sample") == sha256(saved / "networks.safetensors")


def test_edition_must_agree(saved: Path) -> None:
    assert load_checkpoint(saved, edition="flame2020").edition == "flame2020"
    with pytest.raises(EditionMismatchError, match="was made for flame2020, not for openhead"):
        load_checkpoint(saved, edition="openhead")


def test_a_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no checkpoint at"):
        load_checkpoint(tmp_path / "nothing")


def test_flipped_byte(saved: Path) -> None:
    path = saved / "networks.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="changed or damaged"):
        load_checkpoint(saved)


def test_missing_tensors_file(saved: Path) -> None:
    (saved / "networks.safetensors").unlink()
    with pytest.raises(InputError, match="networks.safetensors is missing"):
        load_checkpoint(saved)


def rewrite(saved: Path, change: dict[str, Any]) -> None:
    path = saved / "checkpoint.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema_version": 2}, "has schema version 2, this program reads 1"),
        ({"sizes": {"width": 3}}, "does not describe a checkpoint"),
        ({"sizes": None}, "does not describe a checkpoint"),
        ({"files": {}}, "does not describe a checkpoint"),
        ({"canonical_pose": [0.0] * 15}, "has canonical pose"),
        ({"expression_names": ["smile"]}, "must name 50 expressions, got 1"),
        ({"sizes": {"feature": 16}}, "misses tensor|has a foreign tensor"),
        (
            {"variant": "e-net"},
            "is of variant e-net, this program knows imavatar, imavatar-minus, c-net, ",
        ),
        ({"variant": "fwd-skin"}, "has a foreign tensor .* expected the networks of fwd-skin"),
    ],
)
def test_wrong_description(saved: Path, change: dict[str, Any], sentence: str) -> None:
    rewrite(saved, change)
    with pytest.raises(InputError, match=sentence):
        load_checkpoint(saved)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_description_that_is_no_json_object(saved: Path, content: bytes) -> None:
    (saved / "checkpoint.json").write_bytes(content)
    with pytest.raises(InputError, match="does not describe a checkpoint"):
        load_checkpoint(saved)


def test_tensors_that_are_no_safetensors(saved: Path) -> None:
    (saved / "networks.safetensors").write_bytes(b"garbage")
    rewrite(
        saved,
        {"files": {"networks.safetensors": {"sha256": sha256(saved / "networks.safetensors")}}},
    )
    with pytest.raises(InputError, match="is not a safetensors file"):
        load_checkpoint(saved)


def test_a_tensor_that_is_not_finite(small: ImplicitAvatar, tmp_path: Path) -> None:
    with torch.no_grad():
        small.texture.bottleneck.bias[0] = torch.nan
    save_checkpoint(small, tmp_path / "saved")
    with pytest.raises(InputError, match=r"texture.bottleneck.bias holds NaN or infinity"):
        load_checkpoint(tmp_path / "saved")
