"""`add_formats`, and `imavatar-export AVATAR_FOLDER`: formats for an avatar folder."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.avatar_io import open_avatar, sha256
from imavatar_deploy.errors import (
    EditionMismatchError,
    ImavatarError,
    InputError,
    QualityError,
    UsageError,
)
from imavatar_deploy.exporters import MeshSettings, UsdSettings
from imavatar_deploy.exporters.add import MAP_NOTE, STUDENT_NOTE, add_formats
from imavatar_deploy.exporters.commands.export import export
from imavatar_deploy.exporters.export import export_avatar
from imavatar_deploy.exporters.fidelity.options import FidelitySettings
from imavatar_deploy.exporters.formats import table
from imavatar_deploy.exporters.formats.arkit_shapes import arkit_poses, shape_targets
from imavatar_deploy.exporters.formats.gltf.reader import GlbPlayback
from imavatar_deploy.exporters.formats.gltf.settings import GlbSettings
from imavatar_deploy.exporters.report import ExportReport
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.exporters.stored_avatar import StoredAvatar
from imavatar_deploy.exporters.student.options import StudentSettings
from imavatar_deploy.exporters.unseen_options import UnseenSettings
from imavatar_deploy.fidelity.verify import verify_avatar
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.retarget.expression_map import ExpressionMap
from imavatar_deploy.tracks import FlameTrack, read_track

from .conftest import Exported
from .test_sided_shapes import (  # noqa: F401  (fixtures)
    avatar_of,
    expression_map,
    flame,
    openhead,
)

MORPHS = GlbSettings(colour_morphs=True)


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(export, [str(argument) for argument in arguments])


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@dataclass(frozen=True)
class Added:
    before: Path
    folder: Path
    report: ExportReport


@pytest.fixture(scope="module")
def talk() -> FlameTrack:
    return read_track("talk").select(slice(40, 50))


@pytest.fixture(scope="module")
def added(exported: Exported, talk: FlameTrack, tmp_path_factory: pytest.TempPathFactory) -> Added:
    """A copy of the avatar folder with every format that it can get here."""
    folder = tmp_path_factory.mktemp("added") / "avatar"
    settings = ExportSettings(
        formats=("glb", "vrm", "usd", "usdz", "mesh", "web", "triton"),
        track=talk,
        glb=MORPHS,
        usd=UsdSettings(texture_size=256),
    )
    return Added(exported.folder, folder, add_formats(exported.folder, folder, settings))


@pytest.fixture
def copy(exported: Exported, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported.folder, tmp_path / "avatar"))


def without(folder: Path, *names: str) -> Path:
    """Remove files from an avatar folder and its manifest."""
    path = folder / "avatar.json"
    manifest = json.loads(path.read_text())
    for name in names:
        (folder / name).unlink()
        del manifest["files"][name]
    path.write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def anew(checkpoint: Path, talk: FlameTrack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same avatar, its files written from the networks."""
    out = tmp_path_factory.mktemp("anew") / "avatar"
    settings = ExportSettings(
        formats=("glb", "mesh"),
        resolution=64,
        faces=2000,
        track=talk,
        glb=MORPHS,
        unseen=UnseenSettings(fill=False, cut_bust=False),
    )
    export_avatar(checkpoint, out, settings)
    return out


class TestFiles:
    def test_glb_is_that_of_the_checkpoint(self, added: Added, anew: Path) -> None:
        """The positions are the same; colours come from texture codes instead of features."""
        first, second = (GlbPlayback(folder / "avatar.glb") for folder in (anew, added.folder))
        assert first.names == second.names
        assert first.bones == second.bones
        for name in ("POSITION", "WEIGHTS_0", "JOINTS_0"):
            np.testing.assert_array_equal(first.attribute(name), second.attribute(name))
        colours = [file.attribute("COLOR_0") for file in (first, second)]
        assert np.ptp(colours[0][:, 0]) > 0.1
        assert np.abs(colours[0] - colours[1]).max() < 1e-3

    def test_meshes_are_those_of_the_checkpoint(self, added: Added, anew: Path) -> None:
        names = [
            sorted(path.name for path in (f / "meshes").iterdir()) for f in (anew, added.folder)
        ]
        assert names[0] == names[1]
        assert len(names[0]) > 5

    def test_every_file_is_there_and_was_checked(self, added: Added) -> None:
        for name in ("avatar.glb", "avatar.vrm", "avatar.usd", "avatar.usdz", "web/index.html"):
            assert (added.folder / name).is_file(), name
        assert (added.folder / "triton" / "animate" / "config.pbtxt").is_file()
        subjects = {parity.subject for parity in added.report.parity}
        assert {"glb", "vrm", "usd", "usdz", "web"} <= subjects
        assert all(parity.passed for parity in added.report.parity)
        assert verify_avatar(added.folder).passed

    def test_earlier_files_stay(self, added: Added) -> None:
        before, after = hashes(added.before), hashes(added.folder)
        changed = {name for name, digest in before.items() if after.get(name) != digest}
        # The golden data of the page joins those of the graphs.
        assert changed == {"avatar.json", "golden/golden.json", "golden/golden.safetensors"}


class TestManifest:
    def test_has_old_and_new_measurements(self, added: Added) -> None:
        old, new = (open_avatar(folder).manifest for folder in (added.before, added.folder))
        assert {"glb", "vrm", "usd", "usdz", "web", "triton"} | set(old["graphs"]) == set(
            new["graphs"]
        )
        for key in ("source", "licences", "consent", "tools", "arrays"):
            assert new[key] == old[key], key
        for key in ("seconds", "surface", "student"):
            assert new["fidelity"][key] == old["fidelity"][key], key
        subjects = [row["subject"] for row in new["fidelity"]["parity"]]
        assert [subjects.count(name) for name in ("glb", "vrm", "usd", "usdz", "web")] == [1] * 5
        assert "texture" in subjects
        assert any(name.startswith("glb: ") for name in new["fidelity"]["losses_mm"])

    def test_browser_is_compared_with_the_student_of_the_folder(self, added: Added) -> None:
        stages = open_avatar(added.folder).manifest["fidelity"]["stages"]
        assert [stage["stage"] for stage in stages].count("browser") == 1
        browser = next(stage for stage in stages if stage["stage"] == "browser")
        assert browser["from"] == "student"
        assert "not_run" in browser or browser["measures"]["psnr"] > 35

    def test_says_what_was_added_when(self, added: Added) -> None:
        (addition,) = open_avatar(added.folder).manifest["additions"]
        assert addition["formats"] == ["triton", "web", "glb", "vrm", "usd", "usdz", "mesh"]
        assert set(addition) == {"formats", "date", "imavatar-deploy", "seconds"}
        assert "glb" in addition["seconds"]


class TestFolder:
    def test_stays_as_it_is_when_a_format_fails(
        self, copy: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(folder: Path, *arguments: Any) -> Mapping[str, Any]:
            (folder / "avatar.usd").write_text("half")
            raise RuntimeError("out of memory")

        before = hashes(copy)
        monkeypatch.setitem(table.FORMATS, "usd", replace(table.FORMATS["usd"], write=fail))
        with pytest.raises(RuntimeError, match="out of memory"):
            add_formats(copy, settings=ExportSettings(formats=("mesh", "usd")))
        assert hashes(copy) == before
        assert [path.name for path in copy.parent.iterdir()] == ["avatar"]

    def test_stays_as_it_is_when_a_file_misses_its_tolerance(
        self, copy: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = table.FORMATS["glb"]

        def damaged(folder: Path, *arguments: Any) -> Mapping[str, Any]:
            facts = row.write(folder, *arguments)
            data = bytearray((folder / "avatar.glb").read_bytes())
            place = data.index(
                np.float32(GlbPlayback(folder / "avatar.glb").attribute("POSITION")[7]).tobytes()
            )
            data[place : place + 4] = np.float32(9.0).tobytes()
            (folder / "avatar.glb").write_bytes(data)
            return facts

        before = hashes(copy)
        monkeypatch.setitem(table.FORMATS, "glb", replace(row, write=damaged))
        with pytest.raises(QualityError, match="is withheld"):
            add_formats(copy, settings=ExportSettings(formats=("glb",)))
        assert hashes(copy) == before
        assert (copy.parent / "avatar.rejected" / "avatar.glb").is_file()
        drift = FidelitySettings(allow_drift="a test")
        add_formats(copy, settings=ExportSettings(formats=("glb",), proof=drift))
        assert open_avatar(copy).manifest["fidelity"]["drift"]["reason"] == "a test"

    def test_replaces_a_format_only_when_asked(self, copy: Path, talk: FlameTrack) -> None:
        still = ExportSettings(formats=("usd",))
        add_formats(copy, settings=still)
        first = hashes(copy)["avatar.usd"]
        with pytest.raises(UsageError, match=r"has avatar\.usd already; pass overwrite"):
            add_formats(copy, settings=replace(still, track=talk))
        add_formats(copy, settings=replace(still, track=talk, overwrite=True))
        assert hashes(copy)["avatar.usd"] != first
        manifest = open_avatar(copy).manifest
        assert [row["subject"] for row in manifest["fidelity"]["parity"]].count("usd") == 1
        assert manifest["graphs"]["usd"]["frames"] == len(talk)
        assert [one["formats"] for one in manifest["additions"]] == [["usd"], ["usd"]]

    def test_says_that_a_file_without_a_motion_replaces_one_with_it(
        self, added: Added, tmp_path: Path, talk: FlameTrack
    ) -> None:
        settings = ExportSettings(formats=("glb", "usd", "web", "mesh"), overwrite=True)
        report = add_formats(added.folder, tmp_path / "still", settings)
        lost = [note for note in report.notes if "held a motion" in note]
        assert [note.split()[0] for note in lost] == ["web", "avatar.glb", "avatar.usd"]
        assert all("--track TRACK --overwrite" in note for note in lost)
        for other in (replace(settings, track=talk, formats=("glb",)), settings):
            folder = added.folder if other.track else tmp_path / "still"
            report = add_formats(folder, tmp_path / f"again_{len(other.formats)}", other)
            assert not [note for note in report.notes if "held a motion" in note]

    def test_bundled_avatar_is_copied_only(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="bundled avatar stays as it is"):
            add_formats("sample", settings=ExportSettings(formats=("mesh",)))
        presets = tmp_path / "faces.json"
        presets.write_text('{"smile": {"expression": {"mouthSmileLeft": 1.0}}}')
        settings = ExportSettings(formats=("mesh",), mesh=MeshSettings(expressions=str(presets)))
        add_formats("sample", tmp_path / "copy", settings)
        assert (tmp_path / "copy" / "meshes" / "smile.ply").is_file()


class TestColours:
    def test_are_those_of_the_student_without_a_texture_network(self, copy: Path) -> None:
        without(copy, "texture.onnx")
        report = add_formats(copy, settings=ExportSettings(formats=("glb",)))
        assert report.notes[0] == STUDENT_NOTE
        stored = StoredAvatar(open_avatar(copy))
        assert stored.student_colours
        assert not stored.has_network

    def test_a_folder_with_neither_is_refused(self, copy: Path) -> None:
        without(copy, "texture.onnx", "student.safetensors")
        with pytest.raises(InputError, match=r"the colours of glb are not known: .*player,glb"):
            add_formats(copy, settings=ExportSettings(formats=("glb",)))


class TestRefusals:
    @pytest.mark.parametrize("name", ["onnx", "player", "student"])
    def test_a_format_of_the_networks(self, copy: Path, name: str) -> None:
        with pytest.raises(
            UsageError, match=rf"{name} needs the networks.* can get trt, triton, web"
        ):
            add_formats(copy, settings=ExportSettings(formats=("glb", name)))

    @pytest.mark.parametrize("name", ["onnx", "triton"])
    def test_the_formats_of_the_message_are_those_of_the_folder(
        self, copy: Path, name: str
    ) -> None:
        without(copy, "deformation.onnx", "student.safetensors")
        with pytest.raises(ImavatarError, match=r"can get glb, vrm, fbx, usd, usdz, mesh$"):
            add_formats(copy, settings=ExportSettings(formats=(name,)))
        without(copy, "texture.onnx", "animate.onnx")
        with pytest.raises(ImavatarError, match=r"can get no format$"):
            add_formats(copy, settings=ExportSettings(formats=(name,)))

    @pytest.mark.parametrize(
        ("names", "format_name"),
        [(("student.safetensors",), "web"), (("deformation.onnx",), "triton")],
    )
    def test_a_format_whose_files_are_missing(
        self, copy: Path, names: tuple[str, ...], format_name: str
    ) -> None:
        without(copy, *names)
        with pytest.raises(InputError, match=rf"has no {names[0]}, of which {format_name} is made"):
            add_formats(copy, settings=ExportSettings(formats=(format_name,)))

    @pytest.mark.parametrize(
        ("settings", "option"),
        [
            ({"faces": 2000}, r"faces \(--faces\)"),
            ({"student": StudentSettings(32)}, r"student \(--student, "),
            ({"unseen": UnseenSettings(fill=False)}, r"unseen \(--seen-from"),
            ({"proof": FidelitySettings(size=64)}, r"proof \(--proof-size"),
        ],
    )
    def test_settings_of_the_bake(self, copy: Path, settings: dict[str, Any], option: str) -> None:
        with pytest.raises(
            UsageError, match=f"is baked already, and cannot be given another {option}"
        ):
            add_formats(copy, settings=ExportSettings(formats=("mesh",), **settings))

    def test_meshes_from_the_field(self, copy: Path) -> None:
        settings = ExportSettings(formats=("mesh",), mesh=MeshSettings(from_field=True))
        with pytest.raises(UsageError, match="from-field.* needs the networks"):
            add_formats(copy, settings=settings)

    def test_a_track_of_another_head_model(self, copy: Path, talk: FlameTrack) -> None:
        foreign = replace(talk, edition="flame2020")
        with pytest.raises(EditionMismatchError):
            add_formats(copy, settings=ExportSettings(formats=("glb",), track=foreign))

    def test_a_damaged_folder(self, copy: Path) -> None:
        (copy / "texture.onnx").write_bytes(b"x")
        with pytest.raises(InputError, match="was changed or damaged"):
            add_formats(copy, settings=ExportSettings(formats=("glb",)))


class TestCommand:
    def test_adds_to_the_folder(self, copy: Path) -> None:
        result = call(copy, "--format", "mesh,web")
        assert result.exit_code == 0, result.output
        assert f"next: imavatar-verify {copy}" in result.output
        assert (copy / "web" / "index.html").is_file()
        for folder in ("web", "meshes", "golden"):
            count = sum(path.is_file() for path in (copy / folder).rglob("*"))
            assert re.search(rf"^ +{folder}/ +{count} +[0-9.]+ [kM]B *$", result.output, re.M)
        assert "index.html" not in result.output
        again = call(copy, "--format", "web", "--out", copy)
        assert again.exit_code == 2
        assert "has web already" in again.output
        assert call(copy, "--format", "web", "--out", copy, "--overwrite").exit_code == 0

    def test_writes_a_copy(self, copy: Path, tmp_path: Path) -> None:
        before = hashes(copy)
        result = call(copy, "--format", "mesh", "--out", tmp_path / "other")
        assert result.exit_code == 0, result.output
        assert hashes(copy) == before
        assert (tmp_path / "other" / "meshes" / "meshes.json").is_file()
        assert open_avatar(tmp_path / "other").manifest["additions"]

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (("--format", "glb", "--faces", "20000"), 2, "faces (--faces)"),
            (("--format", "onnx"), 2, "the format onnx needs the networks"),
            (("--format", "abc"), 2, "imavatar-bake AVATAR --format abc"),
        ],
    )
    def test_refusals(
        self, copy: Path, arguments: tuple[str, ...], code: int, message: str
    ) -> None:
        result = call(copy, *arguments)
        assert result.exit_code == code
        assert message in result.output

    def test_a_checkpoint_needs_an_output(self) -> None:
        result = call("sample", "--format", "glb")
        assert result.exit_code == 2
        assert "a checkpoint needs --out" in result.output


def test_a_map_without_the_head_model_leaves_blinks_as_learned(
    flame: HeadModel,  # noqa: F811
    expression_map: ExpressionMap,  # noqa: F811
) -> None:
    avatar = avatar_of(flame)
    weak = replace(avatar, expression_basis=np.float32(0.3) * avatar.expression_basis)
    poses = arkit_poses(expression_map)
    full, learned, amplified = (
        {target.name: target.offset for target in shape_targets(one, poses, head)}
        for one, head in ((avatar, None), (weak, None), (weak, flame))
    )
    name = "eyeBlinkLeft"
    lids = np.linalg.norm(full[name], axis=0) > 0.5 * np.linalg.norm(full[name], axis=0).max()
    np.testing.assert_allclose(
        learned[name][:, lids], 0.3 * full[name][:, lids], rtol=0.05, atol=1e-4
    )
    assert np.abs(amplified[name]).max() > 2 * np.abs(learned[name]).max()
    assert "blinks" in MAP_NOTE
