"""A mesh for every named expression: from the bake, and from the field of every variant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from click.testing import CliRunner, Result

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.errors import InputError
from imavatar_deploy.exporters.commands.export import export
from imavatar_deploy.exporters.formats.named_poses import named_poses
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import condition_of
from imavatar_deploy.model import VARIANTS, Frame, HeadAvatarModel, ImplicitAvatar, save_checkpoint
from imavatar_deploy.rendering.posing import pose_plainly, surface_normals
from imavatar_deploy.tracks import FlameTrack, write_track

from .conftest import SMALL

NAMES = HeadModel.load("openhead").expression_names
FACES = {
    "smile": {
        "expression": {"mouthSmileLeft": 1, "mouthSmileRight": 0.5},
        "pose": {"jaw": [0.2, 0, 0]},
    },
    "turned": {"pose": {"neck": [0, 0.4, 0]}},
}


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(export, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def faces_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faces") / "faces.json"
    path.write_text(json.dumps(FACES))
    return path


def load_mesh(path: Path) -> Any:
    return trimesh.load(path, process=False, maintain_order=True)


def small_variant(name: str) -> HeadAvatarModel:
    """A sphere that moves."""
    torch.manual_seed(3)
    model = VARIANTS[name].build(HeadModel.load("openhead"), SMALL, {}).eval()
    with torch.no_grad():
        for part, parameter in model.named_parameters():
            if any(word in part for word in ("blendshapes", "displacement")):
                parameter.normal_(0.0, 0.01)
    return model


@pytest.mark.parametrize("mesh_type", ["ply", "obj"])
def test_meshes_of_the_bake_agree_with_the_networks(
    checkpoint: Path, avatar: ImplicitAvatar, faces_file: Path, tmp_path: Path, mesh_type: str
) -> None:
    out, options = tmp_path / "out", ("--resolution", 64, "--faces", 500, "--mesh-type", mesh_type)
    options += ("--keep-unseen", "--keep-bust")
    result = call(
        checkpoint, "--format", "mesh", "--expressions", faces_file, "--out", out, *options
    )
    assert result.exit_code == 0, result.output
    assert "next:" not in result.output, "there is nothing to play"
    baked = open_avatar(out).avatar
    assert sorted(path.name for path in (out / "meshes").glob(f"*.{mesh_type}")) == [
        f"smile.{mesh_type}",
        f"turned.{mesh_type}",
    ]
    for face in named_poses(faces_file, "openhead", NAMES):
        mesh = load_mesh(out / "meshes" / f"{face.name}.{mesh_type}")
        assert (
            np.abs(
                mesh.vertices - pose_plainly(baked, face.expression, face.pose).vertices / 4
            ).max()
            <= 1e-4
        )
        points = torch.from_numpy(baked.canonical.T.copy())
        with torch.no_grad():
            deformed = avatar.deform(
                points, torch.from_numpy(face.expression), torch.from_numpy(face.pose)
            )
        assert np.abs(mesh.vertices - deformed.numpy() / 4).max() <= 1e-4
        assert mesh.is_watertight
        assert mesh.volume > 0
        assert np.ptp(mesh.visual.vertex_colors[:, :3], axis=0).max() > 10


@pytest.mark.parametrize("name", VARIANTS)
def test_meshes_of_the_field_lie_on_it_for_every_variant(name: str, tmp_path: Path) -> None:
    model, out, faces_file = small_variant(name), tmp_path / "out", tmp_path / "faces.json"
    faces_file.write_text(json.dumps({"smile": FACES["smile"]}))
    save_checkpoint(model, tmp_path / "checkpoint")
    options = ("--resolution", 64, "--faces", 400, "--from-field", "--expressions", faces_file)
    result = call(tmp_path / "checkpoint", "--format", "mesh", "--out", out, *options)
    assert result.exit_code == 0, result.output
    index = json.loads((out / "meshes" / "meshes.json").read_text())
    assert (index["variant"], index["from"], list(index["meshes"])) == (
        name,
        "the deformed field",
        ["smile"],
    )
    for face in named_poses(faces_file, "openhead", NAMES):
        mesh = load_mesh(out / "meshes" / f"{face.name}.ply")
        assert mesh.volume > 0
        frame = Frame(torch.from_numpy(face.expression), torch.from_numpy(face.pose))
        points = torch.from_numpy(4 * mesh.vertices).float()
        correspondences = model.find_canonical(points, frame)
        assert correspondences.valid.float().mean() > 0.98
        assert correspondences.sdf[correspondences.valid].abs().median() < 5e-3
        assert np.abs(np.linalg.norm(mesh.vertex_normals, axis=1) - 1).max() < 1e-3
        assert (
            np.einsum(
                "vi,vi->v", mesh.vertex_normals, mesh.vertices - mesh.vertices.mean(axis=0)
            ).min()
            > 0
        )


def test_a_variant_that_cannot_be_baked_suggests_from_field(tmp_path: Path) -> None:
    save_checkpoint(small_variant("c-net"), tmp_path / "checkpoint")
    result = call(tmp_path / "checkpoint", "--format", "mesh", "--out", tmp_path / "out")
    assert result.exit_code == 6
    assert "imavatar-export --format mesh --from-field" in result.output


def test_from_field_needs_the_format_mesh(tmp_path: Path) -> None:
    result = call("sample", "--format", "onnx", "--from-field", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "add --format mesh" in result.output


class TestNames:
    def test_presets_are_every_expression_and_the_corners(self) -> None:
        faces = named_poses("presets", "openhead", NAMES)
        names = [face.name for face in faces]
        assert names == ["neutral", *NAMES, "jaw_open", "corner_1", "corner_2", "corner_3"]
        assert not faces[0].expression.any()
        assert np.array_equal(faces[3].expression, np.eye(50)[2])
        assert np.array_equal(
            faces[51].pose, [0, 0, 0, 0, 0, 0, np.float32(0.35), 0, 0, 0, 0, 0, 0, 0, 0]
        )
        assert all(face.expression.any() and face.pose.any() for face in faces[-3:])

    def test_tracks_name_their_frames(self, tmp_path: Path) -> None:
        write_track(
            FlameTrack(np.zeros((2, 50)), np.ones((2, 15)), names=("7", "8"), edition="openhead"),
            tmp_path / "track.json",
        )
        faces = named_poses(tmp_path / "track.json", "openhead", NAMES)
        assert [face.name for face in faces] == ["frame_7", "frame_8"]
        assert faces[1].pose.tolist() == [1.0] * 15

    def test_a_list_gives_all_coefficients(self, tmp_path: Path) -> None:
        path = tmp_path / "faces.json"
        path.write_text(json.dumps({"mine": {"expression": list(range(50))}}))
        (face,) = named_poses(path, "openhead", NAMES)
        assert face.expression.tolist() == list(range(50))

    @pytest.mark.parametrize(
        ("document", "message"),
        [
            ({"a": {"expression": {"mouthSmileLeftt": 1}}}, "did you mean 'mouthSmileLeft'?"),
            (
                {"a": {"pose": {"jawbone": [0, 0, 0]}}},
                "unknown bone 'jawbone': expected one of eyeL, eyeR, global",
            ),
            ({"a": {"pose": {"jaw": [0, 0]}}}, r"jaw must have shape \[3\], got \[2\]"),
            ({"a": {"expression": {"jawLeft": "wide"}}}, "jawLeft must be numbers"),
            ({"a": {"expresion": {}}}, "unknown part of a 'expresion'.*did you mean 'expression'?"),
            ({"a": {"expression": [1, 2]}}, r"must have shape \[50\], got \[2\]"),
            ({"a": 3}, "a must be an object, got 3"),
            ({"../a": {}}, "cannot be the name of a file"),
            ({}, "names no expression"),
        ],
    )
    def test_invalid_files_are_reported_in_one_sentence(
        self, document: Any, message: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "faces.json"
        path.write_text(json.dumps(document))
        with pytest.raises(InputError, match=message):
            named_poses(path, "openhead", NAMES)

    def test_files_that_are_neither_track_nor_json_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="there is no file .*nothing.json' of expressions"):
            named_poses(tmp_path / "nothing.json", "openhead", NAMES)
        (tmp_path / "broken.json").write_text("{")
        with pytest.raises(InputError, match="not readable as JSON"):
            named_poses(tmp_path / "broken.json", "openhead", NAMES)

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("preset", r"did you mean 'presets'\?$"),
            ("face.json", r"did you mean 'faces\.json'\?$"),
            ("mouthSmileleft", r'JSON file such as \{"mouthSmileLeft": \{"expression": \{"mouth'),
            ("nosuch", r"one of the words 'presets', 'talk'$"),
        ],
    )
    def test_a_missing_source_is_refused_with_the_nearest_names(
        self, name: str, hint: str, tmp_path: Path
    ) -> None:
        (tmp_path / "faces.json").write_text("{}")
        with pytest.raises(InputError, match=rf"there is no file .*{name}' of expressions.*{hint}"):
            named_poses(tmp_path / name, "openhead", NAMES)

    def test_a_missing_file_is_refused_before_the_long_work(
        self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def work(*arguments: Any) -> None:
            raise AssertionError("the long work began")

        monkeypatch.setattr("imavatar_deploy.exporters.export.bake_surface", work)
        result = call(
            checkpoint,
            "--format",
            "mesh",
            "--expressions",
            tmp_path / "none.json",
            "--out",
            tmp_path / "o",
        )
        assert result.exit_code == 6
        assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def textured(checkpoint: Path, faces_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("textured") / "out"
    options = ("--mesh-type", "obj", "--mesh-colour", "texture", "--mesh-texture", 256)
    result = call(
        *(checkpoint, "--format", "mesh", "--expressions", faces_file, "--out", out),
        *("--resolution", 64, "--faces", 500, "--keep-unseen", "--keep-bust", *options),
    )
    assert result.exit_code == 0, result.output
    return out


class TestTexture:
    """A mesh of type obj with an image of its expression's colours."""

    def test_every_mesh_has_its_material_and_image(self, textured: Path) -> None:
        names = {f"{name}.{suffix}" for name in FACES for suffix in ("obj", "mtl", "png")}
        assert {path.name for path in (textured / "meshes").iterdir()} == names | {"meshes.json"}
        images = [(textured / "meshes" / f"{name}.png").read_bytes() for name in FACES]
        assert images[0] != images[1]

    def test_the_image_has_the_networks_colours_of_the_expression(
        self, textured: Path, avatar: ImplicitAvatar, faces_file: Path
    ) -> None:
        baked = open_avatar(textured).avatar
        for face in named_poses(faces_file, "openhead", NAMES):
            # In the order of the file, trimesh would keep one texture coordinate of a vertex.
            mesh = trimesh.load(textured / "meshes" / f"{face.name}.obj", process=False)
            posed = pose_plainly(baked, face.expression, face.pose)
            corners = posed.vertices[baked.faces] / 4
            assert np.abs(mesh.vertices[mesh.faces] - corners).max() <= 1e-4
            normals = surface_normals(baked, posed)[baked.faces].mean(axis=1)
            normals /= np.linalg.norm(normals, axis=1, keepdims=True)
            points = torch.from_numpy(baked.canonical.T[baked.faces].mean(axis=1))
            condition = torch.from_numpy(condition_of(face.expression, face.pose)[0])
            with torch.no_grad():
                feature = avatar.geometry(points).feature
                colours = avatar.texture(points, torch.from_numpy(normals), condition, feature)
            uv = mesh.visual.uv[mesh.faces].mean(axis=1)
            image = np.asarray(mesh.visual.material.image.convert("RGB")) / 255
            size = len(image)
            columns = (uv[:, 0] * size).astype(int)
            rows = ((1 - uv[:, 1]) * size).astype(int)
            error = np.abs(image[rows, columns] - colours.numpy()).max(axis=1)
            assert np.median(error) < 0.01, face.name
            assert np.quantile(error, 0.95) < 0.05, face.name

    @pytest.mark.parametrize(
        "options", [("--mesh-type", "ply"), ("--mesh-type", "obj", "--from-field")], ids=str
    )
    def test_other_meshes_have_none(self, options: tuple[str, ...], tmp_path: Path) -> None:
        arguments = ("sample", "--format", "mesh", "--mesh-colour", "texture", *options)
        result = call(*arguments, "--out", tmp_path / "out")
        assert result.exit_code == 2
        assert "--mesh-type obj" in result.output

    def test_the_marks_of_synthetic_media_are_in_mesh_and_material(self, textured: Path) -> None:
        for suffix in ("obj", "mtl"):
            text = (textured / "meshes" / f"smile.{suffix}").read_text()
            assert "trainedAlgorithmicMedia" in text, suffix
