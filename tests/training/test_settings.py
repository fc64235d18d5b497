"""Settings: presets, files that change them, and the complete file of a run."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.model.sizes import NetworkSizes
from imavatar_deploy.training.config_file import field_texts, from_toml, read_config, to_toml
from imavatar_deploy.training.presets import PRESETS, preset
from imavatar_deploy.training.settings import Schedule, TrainSettings


@pytest.mark.parametrize("name", PRESETS)
def test_a_written_preset_reads_back_equal(name: str) -> None:
    text = to_toml(preset(name))
    assert from_toml(text, TrainSettings()) == preset(name)
    assert from_toml(text, preset("tiny")) == preset(name)


def test_the_full_preset_is_the_paper() -> None:
    full = preset("full")
    assert full.networks == NetworkSizes()
    assert full.networks.geometry_layers == (512,) * 8
    assert (full.schedule.epochs, full.schedule.pixels, full.schedule.decay) == (60, 2048, "halved")
    assert (full.optimiser.learning_rate, full.optimiser.matrix_rate) == (1e-4, 0.0)


def test_every_setting_is_explained_in_the_file() -> None:
    lines = to_toml(TrainSettings()).splitlines()
    for number, line in enumerate(lines):
        if " = " in line and not line.startswith("#"):
            assert lines[number - 1].startswith("# "), line
    for entry in fields(TrainSettings):
        assert field_texts(TrainSettings)[entry.name]
        group = getattr(TrainSettings(), entry.name)
        if is_dataclass(group):
            assert field_texts(type(group)).keys() == {inner.name for inner in fields(group)}, (
                entry.name
            )


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'variant = "b-morph"\n[networks]\ngeometry_layers = [8, 8, 8, 8]\n[losses]\nmask = 7\n'
    )
    settings = read_config(path, preset("tiny"))
    assert settings.variant == "b-morph"
    assert settings.networks.geometry_layers == (8,) * 4
    assert settings.losses.mask == 7.0
    assert isinstance(settings.losses.mask, float)
    assert settings.schedule == preset("tiny").schedule


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        (
            "[losses]\nmaks = 1",
            UsageError,
            "unknown setting in the configuration 'maks': .*did you mean 'mask'",
        ),
        ("seed = 'x'", UsageError, "seed in the configuration must be like 0, got 'x'"),
        ("losses = 3", UsageError, "losses in the configuration must be like a table, got 3"),
        (
            "[schedule]\ndecay = 'linear'",
            UsageError,
            "unknown decay 'linear': expected one of cosine, halved",
        ),
        ("[schedule]\nepochs = 0", UsageError, "schedule.epochs must be positive, got 0"),
        ("[losses]\nmask = -1", UsageError, "mask must not be negative"),
        ("seed = ", InputError, "the configuration is not readable as TOML"),
    ],
)
def test_mistakes_are_sentences(text: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        from_toml(text, TrainSettings())


def test_an_absent_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read as a configuration"):
        read_config(tmp_path / "none.toml", TrainSettings())


def test_an_unknown_preset_lists_the_others() -> None:
    with pytest.raises(
        UsageError, match="unknown preset 'ful'.*full, small, tiny.*did you mean 'full'"
    ):
        preset("ful")
    with pytest.raises(UsageError, match="unknown preset 3: expected one of full, small, tiny"):
        preset(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown preset .*expected one of full, small, tiny"):
        preset(["tiny"])  # type: ignore[arg-type]


def test_settings_can_be_replaced_in_part() -> None:
    settings = replace(TrainSettings(), schedule=Schedule(steps=3))
    assert settings.schedule.steps == 3


@pytest.mark.parametrize("text", ["x = " + "[" * 1200, "x = " + "1" * 5000])
def test_a_text_that_exhausts_the_reader_is_one_sentence(text: str) -> None:
    with pytest.raises(InputError, match="not readable as TOML") as caught:
        from_toml(text, TrainSettings())
    assert len(str(caught.value)) < 300
