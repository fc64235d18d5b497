"""The waterfall: a sound avatar passes, a damaged one is withheld with its hop named, and is judged again elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import numpy_helper

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.errors import InputError
from imavatar_deploy.exporters import export as export_module
from imavatar_deploy.exporters import formats
from imavatar_deploy.exporters.bake import Bake, bake
from imavatar_deploy.exporters.commands import export
from imavatar_deploy.exporters.format import Subject
from imavatar_deploy.exporters.settings import Settings
from imavatar_deploy.exporters.simplify import simplify
from imavatar_deploy.exporters.waterfall.hop import HOPS
from imavatar_deploy.exporters.waterfall.implicit import implicit_reference
from imavatar_deploy.exporters.waterfall.mouth import mouth_centre, mouth_region
from imavatar_deploy.exporters.waterfall.settings import ProofSettings
from imavatar_deploy.exporters.waterfall.tolerances import tolerances
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.extract import extract, field_of
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.proof.measures import NAMES
from imavatar_deploy.proof.reference import FILE, MASK, Reference, read_reference
from imavatar_deploy.proof.rejudge import rejudge
from imavatar_deploy.proof.tolerances import HOPS as NAMED
from imavatar_deploy.runtime.commands import run, verify

from .conftest import Exported
from .lump import with_lump

QUICK = ("--resolution", 64, "--faces", 2000, "--no-student", "--proof-size", 48)


def call(command: Any, *arguments: Any) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def damage_bake(monkeypatch: pytest.MonkeyPatch, name: str, damage: Any) -> None:
    """Every bake from now on has one array spoilt."""
    sound = export_module.bake

    def bake(*arguments: Any, **options: Any) -> Bake:
        made = sound(*arguments, **options)
        return replace(made, avatar=replace(made.avatar, **{name: damage(getattr(made.avatar, name))}))

    monkeypatch.setattr(export_module, "bake", bake)


def test_a_sound_avatar_passes_every_hop_that_runs(exported: Exported) -> None:
    told = open_avatar(exported.folder).manifest["fidelity"]["waterfall"]
    assert [row["hop"] for row in told] == [hop.name for hop in HOPS] == list(NAMED)
    ran = {row["hop"]: row for row in told if "not_run" not in row}
    assert set(ran) == {"baked", "onnx", "student"}
    assert all(row["passed"] and set(row["measures"]) == set(NAMES) for row in ran.values())
    assert ran["onnx"]["measures"]["worst_psnr"] > ran["student"]["measures"]["psnr"] + 20


def test_it_is_judged_again_from_its_files_alone(exported: Exported, tmp_path: Path) -> None:
    result = call(verify, exported.folder)
    assert result.exit_code == 0, result.output
    assert "mouth" in result.output
    folder = open_avatar(exported.folder)
    pixel, student = rejudge(folder)
    at_export = folder.manifest["fidelity"]["waterfall"][0]["measures"]
    assert pixel.measures["psnr"] == pytest.approx(at_export["psnr"], abs=0.01)
    assert pixel.measures["normal_angle"] == pytest.approx(at_export["normal_angle"], abs=0.01)
    assert student.limits["psnr"] < pixel.limits["psnr"], "errors of hops add up"
    assert (exported.folder / FILE).stat().st_size < 300e3
    broken = tmp_path / "broken.npz"
    broken.write_bytes((exported.folder / FILE).read_bytes()[:500])
    with pytest.raises(InputError, match="export the avatar again"):
        read_reference(broken)


def test_the_reference_shows_a_mouth() -> None:
    head = HeadModel.load("openhead")
    centre = mouth_centre(head)
    lips = np.array([[[0.0, -0.245, 0.36], [0.0, 0.05, 0.4], [0.0, -0.7, 0.0]]], dtype=np.float32)
    assert mouth_region(lips, centre).tolist() == [[True, False, False]]


@pytest.mark.usefixtures("graphs_at_hand")
class TestDamage:
    """Spoilt between bake and write."""

    @pytest.mark.parametrize(
        ("name", "damage"),
        [
            ("joints_rest", lambda joints: joints + np.float32([[0, 0, 0], [0, 0.5, 0], [0] * 3, [0] * 3, [0] * 3])),
            ("skin_weights", lambda weights: np.roll(weights, 1, axis=0)),
            ("texture_code", lambda code: code + np.float32(0.3)),
            ("normal_detail", lambda detail: detail + np.float32(0.3)),
        ],
    )
    def test_of_a_baked_array(
        self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: Any
    ) -> None:
        damage_bake(monkeypatch, name, damage)
        result = call(export, checkpoint, "--out", tmp_path / "avatar", *QUICK)
        assert result.exit_code == 3, result.output
        assert "the hop baked (implicit -> baked) loses too much" in result.output
        assert "it would pass with" in result.output
        assert [path.name for path in tmp_path.iterdir()] == ["avatar.rejected"]
        kept = tmp_path / "avatar.rejected"
        told = {row["hop"]: row for row in json.loads((kept / "report.json").read_text())["waterfall"]}
        assert not told["baked"]["passed"]
        for image in ("reference", "candidate", "difference"):
            assert cv2.imread(str(kept / "waterfall" / f"baked_{image}.png")).shape == (48, 48, 3)

    def test_of_one_layer_of_the_written_network(
        self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sound = formats.FORMATS["onnx"]

        def write(folder: Path, subject: Subject, progress: Progress) -> Mapping[str, Any]:
            told = sound.write(folder, subject, progress)
            model = onnx.load(str(folder / "texture.onnx"))
            layer = next(tensor for tensor in model.graph.initializer if list(tensor.dims) in ([64, 64], [64, 3]))
            layer.CopyFrom(numpy_helper.from_array(1.2 * numpy_helper.to_array(layer), layer.name))
            onnx.save(model, str(folder / "texture.onnx"))
            return told

        monkeypatch.setitem(formats.FORMATS, "onnx", replace(sound, write=write))
        result = call(export, checkpoint, "--out", tmp_path / "avatar", *QUICK)
        assert result.exit_code == 3, result.output
        assert "the hop onnx (baked -> onnx) loses too much: psnr" in result.output
        assert "the hop baked" not in result.output

    def test_with_a_reason_it_is_written_and_says_so(
        self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        damage_bake(monkeypatch, "normal_detail", lambda detail: detail + np.float32(0.3))
        out = tmp_path / "avatar"
        result = call(export, checkpoint, "--out", out, *QUICK, "--allow-drift", "for a film")
        assert result.exit_code == 0, result.output
        drift = open_avatar(out).manifest["fidelity"]["drift"]
        assert drift["reason"] == "for a film"
        assert "hop baked" in drift["misses"]
        for shown in (call(verify, out), call(run, out, "--sink", "null", "--frames", "0:1", "--size", 32)):
            assert shown.exit_code == 0, shown.output
            assert "for a film" in shown.stderr


class TestTolerances:
    def test_a_file_changes_some(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.toml"
        path.write_text("[baked]\npsnr = 12\nworst_iou = 0.5\n")
        changed, before = tolerances(path), tolerances()
        assert changed["baked"] == before["baked"] | {"psnr": 12.0, "worst_iou": 0.5}
        assert changed["student"] == before["student"]

    @pytest.mark.parametrize(
        ("text", "code", "said"),
        [
            ("[bakd]\npsnr = 1", 2, "did you mean 'baked'?"),
            ("[baked]\npnsr = 1", 2, "did you mean 'psnr'?"),
            ("[baked]\npsnr = 'much'", 2, "psnr of baked"),
            ("[baked", 6, "cannot be read as tolerances"),
        ],
    )
    def test_what_makes_no_sense_is_said(self, tmp_path: Path, text: str, code: int, said: str) -> None:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        result = call(export, "sample", "--out", tmp_path / "avatar", "--tolerances", path)
        assert result.exit_code == code
        assert said in result.output


def test_a_hop_that_cannot_run_says_why(exported: Exported) -> None:
    told: list[Mapping[str, Any]] = open_avatar(exported.folder).manifest["fidelity"]["waterfall"]
    (row,) = [row for row in told if row["hop"] == "tensorrt"]
    assert row["not_run"] == "no engine among these formats"


def test_the_reference_lacks_what_the_export_leaves_out(avatar: ImplicitAvatar) -> None:
    """A loose piece in sight would otherwise count against the baked mesh, which lacks it."""
    lumpy = with_lump(avatar, (0.6, 0.6, 0.0), 0.15)
    baked = bake(avatar, simplify(extract(field_of(avatar), resolution=64), 300)).avatar
    small = ProofSettings(size=48)
    choices = Settings(proof=small), Settings(proof=small, keep_strays=True)
    dropped, kept = (implicit_reference(lumpy, baked, chosen, silent) for chosen in choices)
    assert _shown_pieces(dropped) == 1
    assert _shown_pieces(kept) == 2


def _shown_pieces(reference: Reference) -> int:
    """Connected regions of the first frame's mask."""
    return int(cv2.connectedComponents((reference.regions[0] & MASK).astype(np.uint8))[0]) - 1
