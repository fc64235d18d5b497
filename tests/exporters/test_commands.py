"""imavatar-export: its folder, messages, formats and options, and the refusal of bad input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import numpy_helper

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.errors import UsageError
from imavatar_deploy.exporters.commands.export import export
from imavatar_deploy.exporters.commands.options import AVAILABLE, GROUPS, availability, options_of
from imavatar_deploy.exporters.formats import table
from imavatar_deploy.exporters.formats.format import ExportInput
from imavatar_deploy.exporters.manifest import consent_from, licence_report, licence_text
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.exporters.student.options import STUDENT_FORMATS
from imavatar_deploy.fidelity.golden import check_golden
from imavatar_deploy.progress import Progress

from .conftest import CONSENT, Exported

QUICK = ("--resolution", 64, "--faces", 2000, "--no-student", "--proof-size", 48)


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(export, [str(argument) for argument in arguments])


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a checkpoint is opened."""

    def load(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the long work began")

    monkeypatch.setattr("imavatar_deploy.exporters.export.load_checkpoint", load)


class TestFolder:
    def test_opens_and_passes_its_golden_data(self, exported: Exported) -> None:
        folder = open_avatar(exported.folder)
        assert 1900 <= len(folder.avatar.faces) <= 2000
        reports = check_golden(exported.folder)
        assert {report.subject for report in reports} == {
            "texture",
            "deformation",
            "animate",
            "student",
        }
        assert all(report.passed for report in reports)

    def test_manifest_has_source_fidelity_and_conditions(self, exported: Exported) -> None:
        manifest = open_avatar(exported.folder).manifest
        assert set(manifest["graphs"]) == {"texture", "deformation", "animate", "student"}
        assert len(manifest["source"]["sha256"]) == 64
        licence = manifest["licences"]
        assert "CC0" in licence["conditions"]
        assert licence["source_sha256"] == manifest["source"]["sha256"]
        text = (exported.folder / "LICENCE.txt").read_text()
        assert all(value in text for value in licence.values())
        assert "LICENCE.txt" in manifest["files"]
        assert {"torch", "onnx", "numpy"} <= set(manifest["tools"])
        assert manifest["fidelity"]["surface"]["faces"] == len(
            open_avatar(exported.folder).avatar.faces
        )
        assert all(row["passed"] for row in manifest["fidelity"]["parity"])
        assert str(exported.folder.parent) not in json.dumps(manifest)

    def test_every_step_is_timed(self, exported: Exported) -> None:
        steps = [
            "load",
            "extract",
            "polish",
            "simplify",
            "bake",
            "implicit renders",
            "compare baked",
            "onnx",
            "check onnx",
            "compare onnx",
            "train student",
            "student",
            "check student",
            "compare student",
            "write",
        ]
        assert list(exported.report.seconds) == steps


def test_manifest_and_licence_have_the_consent(exported: Exported) -> None:
    manifest = open_avatar(exported.folder).manifest
    assert manifest["consent"] == CONSENT.as_dict()
    assert f"consent: {CONSENT.line()}" in manifest["licences"]["data"]


def test_damaged_consent_is_not_repeated() -> None:
    assert consent_from({"consent": {"how": "rumour"}}) is None
    assert "consent" not in licence_report("openhead", {"consent": {}}, "12ab")["data"]


def test_licences_leave_out_the_training_settings() -> None:
    report = licence_report(
        "openhead", {"made by": "imavatar-train", "settings": {"seed": 0}}, "12ab"
    )
    assert report["data"] == "made by: imavatar-train"
    assert licence_report("flame2020", {}, "12ab")["data"] == "the checkpoint does not tell"
    assert "No commercial use" in licence_text(licence_report("flame2020", {}, "12ab"))


def test_command_writes_a_folder_and_reports_next_commands(
    checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "avatar"
    result = call(
        checkpoint,
        "--out",
        out,
        "--resolution",
        64,
        "--faces",
        "full",
        "--storage",
        "float16",
        "--no-student",
        "--parts",
        "none",
        "--proof-size",
        48,
    )
    assert result.exit_code == 0, result.output
    avatar = open_avatar(out)
    assert avatar.manifest["arrays"]["expression_basis"]["dtype"] == "float16"
    assert len(avatar.avatar.faces) == avatar.manifest["fidelity"]["surface"]["faces_extracted"]
    for text in (
        "parity",
        "normals",
        "texture code size",
        "extract",
        "animate.onnx",
        f"next: imavatar-verify {out}",
    ):
        assert text in result.output
    assert call(checkpoint, "--out", out).exit_code == 2


def test_an_avatar_with_a_wrong_graph_is_withheld(
    checkpoint: Path, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_wrong(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
        shutil.copytree(exported.folder / "golden", folder / "golden", dirs_exist_ok=True)
        model = onnx.load(str(exported.folder / "deformation.onnx"))
        weight = next(
            tensor for tensor in model.graph.initializer if list(tensor.dims) == [258, 32]
        )
        weight.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(weight) + np.float32(1e-3), weight.name)
        )
        onnx.save(model, str(folder / "deformation.onnx"))
        return {}

    monkeypatch.setitem(table.FORMATS, "onnx", replace(table.FORMATS["onnx"], write=write_wrong))
    result = call(checkpoint, "--out", tmp_path / "avatar", *QUICK)
    assert result.exit_code == 3
    assert "deformation.expression differs by" in result.output
    assert not (tmp_path / "avatar").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["avatar.rejected"]
    report = json.loads((tmp_path / "avatar.rejected" / "report.json").read_text())
    assert [row["subject"] for row in report["parity"] if not row["passed"]] == ["deformation"]


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--format", "onnxx"),
            "unknown export format 'onnxx': expected one of "
            f"{', '.join(sorted(table.FORMATS))}; did you mean",
        ),
        (("--faces", "many"), "--faces must be a number or the word full, got 'many'"),
        (("--faces", "12"), "at least 100, got 12"),
        (("--resolution", "200"), "resolution must be one of 64, 128, 256, 512, got 200"),
        (("--components", "biggest"), "unknown choice of components 'biggest'"),
        (("--storage", "int8"), "unknown storage 'int8'"),
        (("--parts", "teeth"), "unknown choice of parts 'teeth': expected one of all, mouth, none"),
        (("--format=student", "--no-student"), "the format student needs a student, and"),
        (("--format", "glb,vrm, glb"), "formats (--format) names 'glb' more than once"),
        (
            ("--format=player,usd", "--profile=talkinghead"),
            "the profile talkinghead (--profile) is one of a glb, and the formats are player, usd",
        ),
    ],
)
def test_invalid_options_are_refused_before_the_work(
    tmp_path: Path, arguments: tuple[str, str], message: str
) -> None:
    result = call("sample", "--out", tmp_path / "avatar", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert result.output.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_work")
def test_an_output_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = call("sample", "--out", tmp_path / "file" / "avatar")
    assert result.exit_code == 2
    assert "cannot be written" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.usefixtures("no_work")
def test_a_missing_package_is_reported_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        table.FORMATS, "onnx", replace(table.FORMATS["onnx"], modules=("no_such_module",))
    )
    result = call("sample", "--out", tmp_path / "avatar")
    assert result.exit_code == 5
    assert "pip install 'imavatar-deploy[export]'" in result.output


def test_a_truncated_checkpoint_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "latest.pth"
    broken.write_bytes(next(checkpoint.glob("*.safetensors")).read_bytes()[:1000])
    result = call(broken, "--out", tmp_path / "avatar")
    assert result.exit_code == 6
    assert [path.name for path in tmp_path.iterdir()] == ["latest.pth"]


def test_settings_are_checked_by_the_library_too() -> None:
    with pytest.raises(UsageError, match="at least 100"):
        ExportSettings(faces=1)


def test_list_shows_every_format_without_an_export() -> None:
    result = CliRunner().invoke(export, ["--list"], terminal_width=200)
    assert result.exit_code == 0, result.output
    assert all(name in result.output for name in table.FORMATS)
    assert availability(table.FORMATS["onnx"]) == AVAILABLE


def test_help_shows_the_groups_apart_and_every_option_once() -> None:
    text = CliRunner().invoke(export, ["--help"], terminal_width=200).output
    headings = ["Options:", *(f"{group.title}:" for group in GROUPS)]
    positions = [text.index(f"\n{heading}\n") for heading in headings]
    assert positions == sorted(positions)
    for group, start, end in zip(GROUPS, positions[1:], [*positions[2:], len(text)], strict=True):
        for option in group.options:
            assert f"\n  {option.opts[0]} " in text[start:end]
            assert text.count(f"\n  {option.opts[0]} ") == 1


def test_groups_belong_to_formats_and_settings() -> None:
    known = {field.name for field in fields(ExportSettings)}
    assert {group.name for group in GROUPS} <= known
    assert {name for group in GROUPS for option in group.options for name in option.formats} <= set(
        table.FORMATS
    )
    assert set(STUDENT_FORMATS) == {row.name for row in table.FORMATS.values() if row.takes_student}
    before = ["--glb-colour", "--glb-texture", "--glb-colour-morphs", "--glb-material"]
    after = ["--glb-normals", "--max-targets"]
    of_vrm = ("version", "title", "author", "thumbnail", "users", "commercial", "redistribution")
    assert options_of("glb") == ["--track", "--map", *before, "--glb-compress", *after, "--profile"]
    assert options_of("vrm") == [
        "--map",
        *before,
        *after,
        *(f"--vrm-{name}" for name in (*of_vrm, "modification")),
    ]
    for name in ("usd", "usdz"):
        assert options_of(name) == ["--track", "--map", "--usd-colour", "--usd-texture"]
    assert options_of("onnx") == [*options_of("player")]
    assert "--opset" in options_of("onnx")


def test_list_shows_how_to_install_what_is_missing() -> None:
    row = replace(table.FORMATS["onnx"], modules=("onnx", "no_such_module"), extra="usd")
    assert "without no_such_module:" in availability(row)
    assert "imavatar-deploy\\[usd]" in availability(row)


def test_formats_that_others_are_built_from_are_written_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, after in (("late", ("player",)), ("later", ("late", "onnx"))):
        monkeypatch.setitem(
            table.FORMATS, name, replace(table.FORMATS["onnx"], name=name, after=after)
        )
    assert [row.name for row in table.ready_formats(["later"])] == [
        "onnx",
        "player",
        "late",
        "later",
    ]
    assert [row.name for row in table.ready_formats(["player", "onnx"])] == ["onnx", "player"]
