"""Exported ONNX graphs: their results against the networks, metadata, operators and free axes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

import imavatar_deploy
from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.errors import InternalError, UsageError
from imavatar_deploy.exporters.export import export_avatar
from imavatar_deploy.exporters.fidelity.options import FidelitySettings
from imavatar_deploy.exporters.fidelity.reference_poses import reference_poses
from imavatar_deploy.exporters.formats.onnx_export import Graph, _check_free
from imavatar_deploy.exporters.formats.onnx_modules import face_rings
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.mesh import Mesh
from imavatar_deploy.onnx_session import open_session, run_graph

from .conftest import Exported

GRAPHS = ("animate", "deformation", "student", "texture")


def run(
    exported: Exported, graph: str, **inputs: Float32[Array, "..."]
) -> dict[str, Float32[Array, "..."]]:
    return run_graph(open_session(exported.folder / f"{graph}.onnx", threads=1), inputs)


@pytest.fixture(scope="module")
def models(exported: Exported) -> dict[str, onnx.ModelProto]:
    return {name: onnx.load(str(exported.folder / f"{name}.onnx")) for name in GRAPHS}


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_deformation_follows_the_network(
    exported: Exported, avatar: ImplicitAvatar, count: int
) -> None:
    points = np.random.default_rng(count).uniform(-0.6, 0.6, (count, 3)).astype(np.float32)
    outputs = run(exported, "deformation", points=points)
    with torch.inference_mode():
        truth = avatar.deformation(torch.from_numpy(points))
    for name, field in truth._asdict().items():
        np.testing.assert_allclose(outputs[name], field.numpy(), atol=1e-6, err_msg=name)


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_texture_follows_the_network(
    exported: Exported, avatar: ImplicitAvatar, count: int
) -> None:
    baked = open_avatar(exported.folder).avatar
    rows = np.random.default_rng(count).integers(0, baked.vertex_count, count)
    normal = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    condition = reference_poses("openhead").condition[5]
    outputs = run(
        exported, "texture", code=baked.texture_code[rows], normal=normal, condition=condition[None]
    )["rgb"]
    points = torch.from_numpy(np.ascontiguousarray(baked.canonical.T[rows]))
    with torch.inference_mode():
        feature = avatar.geometry(points).feature
        truth = avatar.texture(
            points, torch.from_numpy(normal), torch.from_numpy(condition), feature
        )
    np.testing.assert_allclose(outputs, truth.numpy(), atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_animation_follows_the_forward_map(
    exported: Exported, avatar: ImplicitAvatar, count: int
) -> None:
    baked, poses = open_avatar(exported.folder).avatar, reference_poses("openhead")
    outputs = run(exported, "animate", expression=poses.expression[:count], pose=poses.pose[:count])
    points = torch.from_numpy(np.ascontiguousarray(baked.canonical.T))
    for frame in range(count):
        expression, pose = (
            torch.from_numpy(poses.expression[frame]),
            torch.from_numpy(poses.pose[frame]),
        )
        with torch.inference_mode():
            mesh = Mesh(avatar.deform(points, expression, pose).numpy(), baked.faces)
            turn = torch.einsum(
                "vj,jrc->vrc",
                avatar.deformation(points).weights,
                avatar.transforms(expression, pose),
            )
        normals = mesh.vertex_normals() + np.einsum(
            "vrc,cv->vr", turn[..., :3].numpy(), baked.normal_detail
        )
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        np.testing.assert_allclose(outputs["vertices"][frame].T, mesh.vertices, atol=1e-5)
        np.testing.assert_allclose(outputs["normals"][frame].T, normals, atol=1e-4)


def test_animation_is_finite_without_any_rotation(exported: Exported) -> None:
    """The exporter's optimiser removes FLAME's guard against 0/0."""
    outputs = run(
        exported,
        "animate",
        expression=np.zeros((2, 50), np.float32),
        pose=np.zeros((2, 15), np.float32),
    )
    assert np.isfinite(outputs["vertices"]).all()


@pytest.mark.parametrize("graph", GRAPHS)
class TestEveryGraph:
    def test_has_metadata(self, models: dict[str, onnx.ModelProto], graph: str) -> None:
        metadata = {row.key: row.value for row in models[graph].metadata_props}
        assert metadata["graph"] == graph
        assert metadata["head_model"] == "openhead"
        assert "4 a metre" in metadata["units"]
        assert metadata["producer"] == f"imavatar-deploy {imavatar_deploy.__version__}"
        assert len(metadata["source_sha256"]) == 64
        described = {key.split(".")[1] for key in metadata if key.startswith(("input.", "output."))}
        assert described == {
            value.name for value in [*models[graph].graph.input, *models[graph].graph.output]
        }

    def test_has_widely_supported_operators(
        self, models: dict[str, onnx.ModelProto], graph: str
    ) -> None:
        assert 18 <= models[graph].opset_import[0].version <= 20
        assert {opset.domain for opset in models[graph].opset_import} == {""}
        operators = {node.op_type for node in models[graph].graph.node}
        assert not operators & {"Einsum", "ScatterND", "ScatterElements", "GatherND", "Loop", "If"}
        if graph != "animate":
            assert not operators & {"ReduceL2", "Sqrt", "Pow"}  # operators of weight norm

    def test_holds_no_paths_of_the_machine(self, exported: Exported, graph: str) -> None:
        content = (exported.folder / f"{graph}.onnx").read_bytes()
        assert b".py" not in content
        assert str(Path(imavatar_deploy.__file__).parents[1]).encode() not in content


@pytest.mark.parametrize(("opset", "ir"), [(15, 8), (20, 9)])
def test_an_opset_is_chosen_and_the_graphs_compute_the_same(
    opset: int, ir: int, checkpoint: Path, tmp_path: Path
) -> None:
    settings = ExportSettings(
        resolution=64,
        faces=2000,
        student=None,
        opset=opset,
        proof=FidelitySettings(size=48),
    )
    report = export_avatar(checkpoint, tmp_path / "avatar", settings)
    assert all(parity.passed for parity in report.parity)
    for name in ("texture", "deformation", "animate"):
        model = onnx.load(str(tmp_path / "avatar" / f"{name}.onnx"))
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
        assert model.ir_version == ir
        assert {row.key: row.value for row in model.metadata_props}["graph"] == name
        facts = open_avatar(tmp_path / "avatar").manifest["graphs"][name]
        assert facts["opset"] == opset


@pytest.mark.parametrize("opset", [14, 21])
def test_other_opsets_are_refused(opset: int) -> None:
    with pytest.raises(UsageError, match="between 15 and 20"):
        ExportSettings(opset=opset)


def test_a_fixed_axis_is_an_error() -> None:
    frozen = helper.make_graph(
        [helper.make_node("Identity", ["points"], ["out"])],
        "frozen",
        [helper.make_tensor_value_info("points", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [2, 3])],
    )
    graph = Graph(nn.Identity(), (torch.zeros(2, 3),), {"points": ""}, {"out": ""})
    with pytest.raises(InternalError, match="froze the first axis of out"):
        _check_free(graph, helper.make_model(frozen))


def test_rings_hold_every_face_of_a_vertex() -> None:
    rings = face_rings(np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32), 5)
    assert [sorted(ring) for ring in rings.T] == [[0, 1], [0, 2], [0, 1], [1, 2], [2, 2]]
