"""The fidelity report: a sound avatar passes, a damaged one is withheld and its stage is named."""

from __future__ import annotations

import copy
import json
import re
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
from imavatar_deploy.exporters.bake import Bake, bake
from imavatar_deploy.exporters.commands.export import export
from imavatar_deploy.exporters.fidelity.failure_images import (
    ADDED_COLOUR,
    CAPTION,
    GAP,
    HEADER,
    MISSING_COLOUR,
    Failure,
    write_failures,
)
from imavatar_deploy.exporters.fidelity.implicit_reference import (
    ImplicitRenderer,
    frame_names,
    mouth_centre,
    mouth_region,
)
from imavatar_deploy.exporters.fidelity.options import FidelitySettings, tolerances
from imavatar_deploy.exporters.fidelity.run import _worst_frames
from imavatar_deploy.exporters.fidelity.stages import FIDELITY_STAGES
from imavatar_deploy.exporters.formats import table
from imavatar_deploy.exporters.formats.format import ExportInput
from imavatar_deploy.exporters.mesh_cleanup import simplify
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.fidelity.draw import compare_shadings
from imavatar_deploy.fidelity.reference_frames import (
    MASK,
    REFERENCE_FILE,
    ReferenceFrames,
    read_reference,
)
from imavatar_deploy.fidelity.stage_metrics import (
    METRIC_NAMES,
    STAGE_NAMES,
    FrameImages,
    frame_images,
    measure_frames,
    summary,
    worst_first,
)
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.marking import SOURCE_TYPE
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.extract import extract, field_of
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.runtime.commands.run import run
from imavatar_deploy.runtime.commands.verify import verify

from .conftest import Exported
from .lump import with_lump

QUICK_WITH_STUDENT = ("--resolution", 64, "--faces", 2000, "--proof-size", 48)
QUICK = ("--no-student", *QUICK_WITH_STUDENT)


def call(command: Any, *arguments: Any) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def damage_bake(monkeypatch: pytest.MonkeyPatch, name: str, damage: Any) -> None:
    """Damage one array of every following bake."""
    sound = export_module.bake

    def bake(*arguments: Any, **options: Any) -> Bake:
        baked = sound(*arguments, **options)
        damaged = {name: damage(getattr(baked.avatar, name))}
        return replace(baked, avatar=replace(baked.avatar, **damaged))

    monkeypatch.setattr(export_module, "bake", bake)


def test_a_sound_avatar_passes_every_stage_that_runs(exported: Exported) -> None:
    rows = open_avatar(exported.folder).manifest["fidelity"]["stages"]
    assert [row["stage"] for row in rows] == [stage.name for stage in FIDELITY_STAGES]
    assert [row["stage"] for row in rows] == list(STAGE_NAMES)
    ran = {row["stage"]: row for row in rows if "not_run" not in row}
    assert set(ran) == {"baked", "onnx", "student"}
    assert all(row["passed"] and set(row["measures"]) == set(METRIC_NAMES) for row in ran.values())
    assert ran["onnx"]["measures"]["worst_psnr"] > ran["student"]["measures"]["psnr"] + 20


def test_its_files_alone_suffice_to_measure_it_again(exported: Exported, tmp_path: Path) -> None:
    result = call(verify, exported.folder)
    assert result.exit_code == 0, result.output
    assert "mouth" in result.output
    folder = open_avatar(exported.folder)
    pixel, student = compare_shadings(folder)
    at_export = folder.manifest["fidelity"]["stages"][0]["measures"]
    assert pixel.measures["psnr"] == pytest.approx(at_export["psnr"], abs=0.01)
    assert pixel.measures["normal_angle"] == pytest.approx(at_export["normal_angle"], abs=0.01)
    assert student.limits["psnr"] < pixel.limits["psnr"], "errors of stages add up"
    assert (exported.folder / REFERENCE_FILE).stat().st_size < 300e3
    broken = tmp_path / "broken.npz"
    broken.write_bytes((exported.folder / REFERENCE_FILE).read_bytes()[:500])
    with pytest.raises(InputError, match="export the avatar again"):
        read_reference(broken)


def test_the_reference_shows_a_mouth() -> None:
    head = HeadModel.load("openhead")
    centre = mouth_centre(head)
    lips = np.array([[[0.0, -0.245, 0.36], [0.0, 0.05, 0.4], [0.0, -0.7, 0.0]]], dtype=np.float32)
    assert mouth_region(lips, centre).tolist() == [[True, False, False]]


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if the student's training, which takes minutes, begins."""

    def train(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the student's training began")

    monkeypatch.setattr(export_module, "train_student", train)


def disc(grey: float, normal: tuple[float, float, float] = (0, 0, 1)) -> FrameImages:
    """Images of a disc in one colour."""
    rows, columns = np.indices((64, 64)) - 31.5
    mask = np.hypot(rows, columns) < 20
    rgb = np.full((64, 64, 3), grey, dtype=np.float32)
    return frame_images(rgb, np.broadcast_to(np.float32(normal), rgb.shape), mask)


class TestWorstFrames:
    def frames(self) -> dict[str, Any]:
        reference = [disc(0.5)] * 4
        tilted = (0.0, np.sin(0.2), np.cos(0.2))
        candidate = [disc(0.6), disc(0.5, tilted), disc(0.9), disc(0.5)]
        return measure_frames(reference, candidate, [np.zeros((64, 64), dtype=bool)] * 4)

    def test_come_first_by_each_metric(self) -> None:
        values = self.frames()
        assert worst_first("psnr", values) == [2, 0, 1, 3]
        assert worst_first("worst_normal_angle", values)[0] == 1
        assert worst_first("mouth_psnr", values) == [], "no frame shows a mouth"
        assert summary(values)["worst_normal_angle"] == pytest.approx(np.degrees(0.2), abs=1e-3)

    def test_of_every_missed_metric_are_selected(self) -> None:
        values = self.frames()
        assert _worst_frames(["worst_psnr", "normal_angle"], values) == [2, 1, 0]
        assert _worst_frames(["psnr"], values) == [2, 0, 1]


class TestFailureImages:
    def test_panels_show_reference_export_and_what_differs(self, tmp_path: Path) -> None:
        one, other = disc(0.5), disc(0.55)
        shifted = other._replace(mask=np.roll(other.mask, 10, axis=1))
        failure = Failure(
            "baked", "at rest", "PSNR 26.0 dB", "implicit", "baked", one, shifted, True
        )
        write_failures(tmp_path, [failure, replace(failure, stage="onnx"), failure])
        names = ["baked_1.png", "baked_2.png", "onnx_1.png", "sheet.png"]
        assert sorted(path.name for path in (tmp_path / "failures").iterdir()) == names
        image = cv2.imread(str(tmp_path / "failures" / "baked_1.png"))[..., ::-1] / 255
        top, left, step = HEADER + CAPTION, GAP, 64 + 2 * GAP

        def panel(number: int, row: int = 0) -> Any:
            start = top + row * (CAPTION + 64 + GAP), left + number * step
            return image[start[0] : start[0] + 64, start[1] : start[1] + 64]

        np.testing.assert_allclose(panel(0), one.rgb, atol=1 / 255)
        np.testing.assert_allclose(panel(1), shifted.rgb, atol=1 / 255)
        both = one.mask & shifted.mask
        np.testing.assert_allclose(panel(2)[both], 8 * 0.05, atol=1 / 255)
        np.testing.assert_allclose(panel(2)[one.mask & ~both] - MISSING_COLOUR, 0, atol=1 / 255)
        np.testing.assert_allclose(panel(2)[shifted.mask & ~both] - ADDED_COLOUR, 0, atol=1 / 255)
        assert not panel(2)[~one.mask & ~shifted.mask].any()
        np.testing.assert_allclose(panel(0, 1)[one.mask] - (0.5, 0.5, 1.0), 0, atol=1 / 255)
        assert not panel(2, 1)[both].any(), "the normals are equal"
        assert (image[:HEADER].min(), image[:HEADER].max()) == (0, 1), "the heading is printed"


def test_flame_has_no_motion_to_show() -> None:
    assert frame_names("openhead")[3:] == ["eyes aside, head rolled", "talking 1", "talking 2"]
    assert frame_names("flame2020") == frame_names("openhead")[:4]


def test_an_avatar_of_flame_has_a_reference(avatar: ImplicitAvatar) -> None:
    flame = copy.copy(avatar)
    flame.head = replace(avatar.head, edition="flame2020")
    baked = bake(avatar, simplify(extract(field_of(avatar), resolution=64), 300)).avatar
    settings = ExportSettings(proof=FidelitySettings(size=32))
    assert len(ImplicitRenderer(flame, settings).reference(baked, silent).pose) == 4


@pytest.mark.usefixtures("graphs_at_hand")
class TestDamage:
    """Damage between bake and write."""

    @pytest.mark.parametrize(
        ("name", "damage"),
        [
            (
                "joints_rest",
                lambda joints: (
                    joints + np.float32([[0, 0, 0], [0, 0.5, 0], [0] * 3, [0] * 3, [0] * 3])
                ),
            ),
            ("skin_weights", lambda weights: np.roll(weights, 1, axis=0)),
            ("texture_code", lambda code: code + np.float32(0.3)),
            ("normal_detail", lambda detail: detail + np.float32(0.3)),
        ],
    )
    def test_of_a_baked_array(
        self,
        checkpoint: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        damage: Any,
    ) -> None:
        damage_bake(monkeypatch, name, damage)
        result = call(export, checkpoint, "--out", tmp_path / "avatar", *QUICK)
        assert result.exit_code == 3, result.output
        assert "the stage baked (implicit -> baked) differs too much" in result.output
        assert [path.name for path in tmp_path.iterdir()] == ["avatar.rejected"]
        rejected = tmp_path / "avatar.rejected"
        (baked,) = json.loads((rejected / "report.json").read_text())["stages"]
        assert not baked["passed"]
        assert set(baked["worst_frames"]) <= set(baked["limits"])
        assert set(baked["worst_frames"].values()) <= set(frame_names("openhead"))
        failures = rejected / "failures"
        images = [cv2.imread(str(failures / f"baked_{rank}.png")) for rank in (1, 2, 3)]
        sheet = cv2.imread(str(failures / "sheet.png"))
        np.testing.assert_array_equal(sheet, np.concatenate(images))
        assert sheet.shape[1] > 3 * 256
        assert all(image.shape[0] > 256 for image in images)
        assert SOURCE_TYPE.encode() in (failures / "sheet.png").read_bytes()

    @pytest.mark.usefixtures("no_training")
    def test_stops_before_the_student_is_trained_or_a_graph_is_written(
        self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        damage_bake(monkeypatch, "skin_weights", lambda weights: np.roll(weights, 1, axis=0))
        options = ("--format", "onnx,player,student", *QUICK_WITH_STUDENT)
        result = call(export, checkpoint, "--out", tmp_path / "avatar", *options)
        assert result.exit_code == 3, result.output
        rejected = tmp_path / "avatar.rejected"
        assert not list(rejected.glob("*.onnx"))
        assert (rejected / "failures" / "sheet.png").is_file()

    def test_message_names_the_difference_the_cause_and_the_remedy(
        self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        damage_bake(monkeypatch, "skin_weights", lambda weights: np.roll(weights, 1, axis=0))
        result = call(export, checkpoint, "--out", tmp_path / "avatar", *QUICK)
        message = result.output.splitlines()[-1]
        parts = [
            "the stage baked (implicit -> baked) differs too much: median mask IoU 0.9",
            "(at least 0.9800 required, worst frame '",
            f"Look at {tmp_path / 'avatar.rejected' / 'failures' / 'sheet.png'}",
            "surface grew outside its masks",
            "train longer, or with another seed or preset",
            "--allow-drift REASON writes the avatar",
        ]
        assert all(part in message for part in parts), message
        positions = [message.index(part) for part in parts]
        assert positions == sorted(positions)
        for loosening in ("would pass", "--tolerances"):
            assert loosening not in message

    @pytest.mark.usefixtures("no_training")
    def test_of_one_layer_of_the_written_network(
        self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sound = table.FORMATS["onnx"]

        def write(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
            facts = sound.write(folder, subject, progress)
            model = onnx.load(str(folder / "texture.onnx"))
            layer = next(
                tensor
                for tensor in model.graph.initializer
                if list(tensor.dims) in ([64, 64], [64, 3])
            )
            layer.CopyFrom(numpy_helper.from_array(1.2 * numpy_helper.to_array(layer), layer.name))
            onnx.save(model, str(folder / "texture.onnx"))
            return facts

        row = replace(sound, write=write, takes_student=True)
        monkeypatch.setitem(table.FORMATS, "onnx", row)
        options = ("--out", tmp_path / "avatar", *QUICK_WITH_STUDENT)
        result = call(export, checkpoint, *options)
        assert result.exit_code == 3, result.output
        assert "the stage onnx (baked -> onnx) differs too much: median PSNR" in result.output
        assert "the stage baked" not in result.output
        names = sorted(path.name for path in (tmp_path / "avatar.rejected" / "failures").iterdir())
        assert names == ["onnx_1.png", "onnx_2.png", "onnx_3.png", "sheet.png"]

    def test_an_avatar_written_with_a_reason_reports_it(
        self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        damage_bake(monkeypatch, "normal_detail", lambda detail: detail + np.float32(0.3))
        out = tmp_path / "avatar"
        result = call(export, checkpoint, "--out", out, *QUICK, "--allow-drift", "for a film")
        assert result.exit_code == 0, result.output
        drift = open_avatar(out).manifest["fidelity"]["drift"]
        assert drift["reason"] == "for a film"
        assert "stage baked" in drift["misses"]
        run_options = ("--sink", "null", "--frames", "0:1", "--size", 32)
        for command in (call(verify, out), call(run, out, *run_options)):
            assert command.exit_code == 0, command.output
            assert "for a film" in command.stderr


class TestTolerances:
    def test_a_file_changes_some_limits(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.toml"
        path.write_text("[baked]\npsnr = 12\nworst_iou = 0.5\n")
        changed, before = tolerances(path), tolerances()
        assert changed["baked"] == before["baked"] | {"psnr": 12.0, "worst_iou": 0.5}
        assert changed["student"] == before["student"]

    @pytest.mark.parametrize(
        ("text", "code", "message"),
        [
            ("[bakd]\npsnr = 1", 2, "did you mean 'baked'?"),
            ("[baked]\npnsr = 1", 2, "did you mean 'psnr'?"),
            ("[baked]\npsnr = 'much'", 2, "psnr of baked"),
            ("[baked", 6, "cannot be read as tolerances"),
            ("x = " + "[" * 1200, 6, "cannot be read as tolerances"),
            ("x = " + "1" * 5000, 6, "cannot be read as tolerances"),
        ],
    )
    def test_invalid_files_are_refused(
        self, tmp_path: Path, text: str, code: int, message: str
    ) -> None:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        result = call(export, "sample", "--out", tmp_path / "avatar", "--tolerances", path)
        assert result.exit_code == code
        assert message in result.output


def test_a_stage_that_cannot_run_reports_the_reason(exported: Exported) -> None:
    rows: list[Mapping[str, Any]] = open_avatar(exported.folder).manifest["fidelity"]["stages"]
    (row,) = [row for row in rows if row["stage"] == "tensorrt"]
    assert row["not_run"] == "no engine among these formats"


def test_the_reference_lacks_what_the_export_leaves_out(avatar: ImplicitAvatar) -> None:
    """A visible loose piece would otherwise count as an error of the baked mesh, which lacks it."""
    lumpy = with_lump(avatar, (0.6, 0.6, 0.0), 0.15)
    baked = bake(avatar, simplify(extract(field_of(avatar), resolution=64), 300)).avatar
    small = FidelitySettings(size=48)
    without, with_strays = (
        ImplicitRenderer(lumpy, settings).reference(baked, silent)
        for settings in (
            ExportSettings(proof=small),
            ExportSettings(proof=small, keep_strays=True),
        )
    )
    assert _visible_parts(without) == 1
    assert _visible_parts(with_strays) == 2


def _visible_parts(reference: ReferenceFrames) -> int:
    """Connected regions of the first frame's mask."""
    return int(cv2.connectedComponents((reference.regions[0] & MASK).astype(np.uint8))[0]) - 1


def test_advice_names_the_argument_of_every_option() -> None:
    for stage in FIDELITY_STAGES:
        for option in re.findall(r"--[a-z-]+", stage.advice):
            assert f"({option}" in stage.advice, stage.advice
