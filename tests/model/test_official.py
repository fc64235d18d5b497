"""Checkpoints in the published layout: paths, variants of the layout, and errors."""

from __future__ import annotations

import fractions
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from imavatar_deploy.avatar_io import sha256
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.model import ImplicitAvatar, load_checkpoint
from imavatar_deploy.model.checkpoint import checkpoint_sha256

Publish = Callable[..., dict[str, Any]]
Make = Callable[..., ImplicitAvatar]


def same_weights(one: ImplicitAvatar, other: ImplicitAvatar) -> bool:
    mine = one.state_dict()
    theirs = other.state_dict()
    return mine.keys() == theirs.keys() and all(
        torch.equal(tensor, theirs[name]) for name, tensor in mine.items()
    )


@pytest.mark.parametrize(
    "inside",
    [
        ".",
        "checkpoints",
        "checkpoints/ModelParameters",
        "checkpoints/ModelParameters/latest.pth",
        "../../..",
    ],
)
def test_paths_of_a_run(official: ImplicitAvatar, official_run: Path, inside: str) -> None:
    loaded = load_checkpoint(official_run / inside)
    assert same_weights(loaded, official)
    file = official_run / "checkpoints" / "ModelParameters" / "latest.pth"
    assert checkpoint_sha256(official_run / inside) == sha256(file)
    assert loaded.provenance == {
        "kind": "official IMavatar checkpoint",
        "file": "latest.pth",
        "sha256": sha256(file),
        "epoch": 60,
        "subject": "openhead",
        "method": "IMavatar",
    }


def test_file_without_its_run(official: ImplicitAvatar, official_run: Path, tmp_path: Path) -> None:
    file = shutil.copy(
        official_run / "checkpoints" / "ModelParameters" / "latest.pth", tmp_path / "60.pth"
    )
    loaded = load_checkpoint(file)
    assert same_weights(loaded, official)
    assert not loaded.training
    assert loaded.edition == "openhead"
    assert "subject" not in loaded.provenance


def test_names_of_openhead(official: ImplicitAvatar) -> None:
    assert official.expression_names[:2] == ("browDownLeft", "browDownRight")
    assert "helper-tongue" in official.head.vertex_groups


def write(stored: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(stored, path)
    return path


@pytest.mark.parametrize("old_spelling", [True, False])
def test_both_spellings_of_weight_norm(
    small: ImplicitAvatar, publish: Publish, tmp_path: Path, old_spelling: bool
) -> None:
    file = write(publish(small, old_spelling=old_spelling), tmp_path / "latest.pth")
    assert same_weights(load_checkpoint(file, edition="flame2020"), small)


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"bones": 5},
        {"geometry_skip": (), "geometry_frequencies": 0, "deformation_frequencies": 3},
        {"geometry_skip": (1, 3), "texture_frequencies": 0},
    ],
)
def test_sizes_are_inferred_from_the_shapes(
    make_avatar: Make, publish: Publish, tmp_path: Path, sizes: Any
) -> None:
    avatar = make_avatar(**sizes)
    loaded = load_checkpoint(write(publish(avatar), tmp_path / "latest.pth"), edition="flame2020")
    assert loaded.sizes == avatar.sizes
    assert same_weights(loaded, avatar)


def test_latent_code_of_the_first_frame(
    make_avatar: Make, publish: Publish, tmp_path: Path
) -> None:
    avatar = make_avatar(latent=32)
    write(publish(avatar), tmp_path / "ModelParameters" / "latest.pth")
    with pytest.raises(InputError, match="latent codes, which are not beside it"):
        load_checkpoint(tmp_path, edition="flame2020")
    codes = torch.stack([avatar.geometry.latent, torch.rand(32)])
    inputs = write(
        {"epoch": 7, "latent_codes_state_dict": {"weight": codes}},
        tmp_path / "InputParameters/latest.pth",
    )
    assert same_weights(load_checkpoint(tmp_path, edition="flame2020"), avatar)
    for stored in ({"epoch": 7}, {"latent_codes_state_dict": 3}):
        write(stored, inputs)
        with pytest.raises(InputError, match="has no latent_codes_state_dict"):
            load_checkpoint(tmp_path, edition="flame2020")


def test_the_newest_epoch_is_read_without_latest(
    small: ImplicitAvatar, publish: Publish, tmp_path: Path
) -> None:
    for epoch in (5, 10):
        write(publish(small) | {"epoch": epoch}, tmp_path / "ModelParameters" / f"{epoch}.pth")
    assert load_checkpoint(tmp_path, edition="flame2020").provenance["epoch"] == 10


def test_two_runs_in_one_folder(small: ImplicitAvatar, publish: Publish, tmp_path: Path) -> None:
    for run in ("a", "b"):
        write(publish(small), tmp_path / run / "ModelParameters" / "latest.pth")
    with pytest.raises(
        InputError, match=r"holds 2 checkpoints; name one of a/ModelParameters, b/ModelParameters"
    ):
        load_checkpoint(tmp_path)


def test_folder_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="holds no checkpoint; expected our folder with checkpoint.json"
    ):
        load_checkpoint(tmp_path)


def test_edition_is_required_for_an_unknown_number_of_vertices(
    small: ImplicitAvatar, publish: Publish, tmp_path: Path
) -> None:
    file = write(publish(small), tmp_path / "latest.pth")
    assert load_checkpoint(file, edition="flame2023").edition == "flame2023"
    with pytest.raises(
        InputError, match="head model of 12 vertices that is not known; give its edition"
    ):
        load_checkpoint(file)
    with pytest.raises(UsageError, match="unknown head-model edition 'flame'"):
        load_checkpoint(file, edition="flame")


@pytest.mark.parametrize(
    ("line", "refused"), [("multires_view = 4", True), ("multires_view = 0, # none", False)]
)
def test_options_that_shapes_do_not_show(
    small: ImplicitAvatar, publish: Publish, tmp_path: Path, line: str, refused: bool
) -> None:
    write(publish(small), tmp_path / "checkpoints" / "ModelParameters" / "latest.pth")
    (tmp_path / "runconf.conf").write_text(
        f"dataset{{\n  subject_name = yufeng\n}}\n{line}\nmain\n923b60a\n"
    )
    if refused:
        with pytest.raises(
            InputError, match="sets multires_view = 4; only runs with multires_view = 0"
        ):
            load_checkpoint(tmp_path, edition="flame2020")
    else:
        assert load_checkpoint(tmp_path, edition="flame2020").provenance["subject"] == "yufeng"


class TestGarbage:
    """Each raises an InputError (exit code 6) with one sentence."""

    def test_truncated(self, small: ImplicitAvatar, publish: Publish, tmp_path: Path) -> None:
        file = write(publish(small), tmp_path / "latest.pth")
        content = file.read_bytes()
        for size in (0, 100, len(content) // 2, len(content) - 1):
            file.write_bytes(content[:size])
            with pytest.raises(
                InputError, match="cannot be read as a PyTorch file; is it truncated"
            ):
                load_checkpoint(file)

    def test_foreign_class(self, tmp_path: Path) -> None:
        file = write({"model_state_dict": fractions.Fraction(1, 2)}, tmp_path / "latest.pth")
        with pytest.raises(
            InputError, match=r"holds a foreign object, fractions.Fraction; expected"
        ):
            load_checkpoint(file)

    @pytest.mark.parametrize("protocol", [2, 4])
    def test_pickle_that_would_run_a_command(self, tmp_path: Path, protocol: int) -> None:
        class Evil:
            def __reduce__(self) -> tuple[Any, tuple[str]]:
                return os.mkdir, (str(tmp_path / "created"),)

        file = tmp_path / "latest.pth"
        file.write_bytes(pickle.dumps(Evil(), protocol=protocol))
        with pytest.raises(InputError, match="expected a checkpoint of plain tensors"):
            load_checkpoint(file)
        assert not (tmp_path / "created").exists()

    @pytest.mark.parametrize(
        "stored", [3, {"a": 1}, {"model_state_dict": [1]}, {"model_state_dict": {"a": "b"}}]
    )
    def test_foreign_values(self, tmp_path: Path, stored: Any) -> None:
        with pytest.raises(InputError, match="expected a checkpoint saved by IMavatar"):
            load_checkpoint(write(stored, tmp_path / "latest.pth"))

    def test_foreign_tensors(self, tmp_path: Path) -> None:
        file = write(
            {"model_state_dict": {"encoder.weight": torch.zeros(3, 3)}}, tmp_path / "latest.pth"
        )
        with pytest.raises(
            InputError, match=r"misses FLAMEServer.v_template; expected an IMavatar checkpoint"
        ):
            load_checkpoint(file)

    @pytest.mark.parametrize(
        ("name", "tensor", "sentence"),
        [
            (
                "geometry_network.lin1.bias",
                torch.zeros(3),
                r"geometry.layers.1.bias must have shape \[\d+\], got \[3\]",
            ),
            ("geometry_network.lin0.weight_v", None, "expected IMavatar's three networks"),
            ("rendering_network.lin2.weight_g", None, "misses tensor texture.layers.2"),
            (
                "rendering_network.lin9.bias",
                torch.zeros(3),
                "has a foreign tensor texture.layers.9.bias",
            ),
            ("deformer_network.skinning.bias", torch.zeros(4), "bones must be 5 or 6, got 4"),
            ("rendering_network.lin0.bias", torch.full((20,), torch.nan), "holds NaN or infinity"),
            ("FLAMEServer.posedirs", None, None),
            ("FLAMEServer.lbs_weights", torch.zeros(12, 5), "two different head models"),
        ],
    )
    def test_damaged_state(
        self,
        small: ImplicitAvatar,
        publish: Publish,
        tmp_path: Path,
        name: str,
        tensor: torch.Tensor | None,
        sentence: str | None,
    ) -> None:
        stored = publish(small)
        state = stored["model_state_dict"]
        if tensor is None:
            del state[name]
        else:
            state[name] = tensor
        file = write(stored, tmp_path / "latest.pth")
        if sentence is None:  # the second copy of the head model is sufficient
            assert same_weights(load_checkpoint(file, edition="flame2020"), small)
            return
        with pytest.raises(InputError, match=sentence):
            load_checkpoint(file, edition="flame2020")

    @pytest.mark.parametrize(
        ("name", "shape", "sentence"),
        [
            (
                "shapedirs",
                (12, 3, 120),
                r"FLAMEServer.shapedirs must have shape \[12, 3, 150\], got \[12, 3, 120\]",
            ),
            (
                "posedirs",
                (36, 30),
                r"FLAMEServer.posedirs must have shape \[36, 36\], got \[36, 30\]",
            ),
            ("J_regressor", (5, 11), r"FLAMEServer.J_regressor must have shape \[5, 12\]"),
        ],
    )
    def test_damaged_head_model(
        self,
        small: ImplicitAvatar,
        publish: Publish,
        tmp_path: Path,
        name: str,
        shape: tuple[int, ...],
        sentence: str,
    ) -> None:
        stored = publish(small)
        for copy in ("", "deformer_network."):
            stored["model_state_dict"][f"{copy}FLAMEServer.{name}"] = torch.zeros(shape)
        with pytest.raises(InputError, match=sentence):
            load_checkpoint(write(stored, tmp_path / "latest.pth"), edition="flame2020")
