"""`--format triton`: read with Triton's message definitions and run on its warm-up data."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from google.protobuf import text_format
from onnx import TensorProto

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.exporters.commands.export import export
from imavatar_deploy.exporters.formats.tensorrt import _sidecar
from imavatar_deploy.exporters.formats.tensorrt_precision import Choice
from imavatar_deploy.exporters.formats.triton import ROWS, _write
from imavatar_deploy.fidelity.golden import read_golden
from imavatar_deploy.onnx_session import open_session, run_graph
from imavatar_deploy.progress import silent
from imavatar_deploy.trt.build import BuiltEngine, EngineSpec, Profile
from imavatar_deploy.trt.flavours import FLAVOURS
from imavatar_deploy.trt.sidecar import write_engine

from .conftest import Exported

GRAPHS = ("animate", "deformation", "texture")
BATCHED = {"animate": 64, "deformation": 1 << 20}
"""Graphs whose tensors all begin with N, and their largest N."""
(ROW,) = ROWS


@pytest.fixture(scope="module")
def messages() -> Any:
    grpc = pytest.importorskip("tritonclient.grpc", reason="pip install 'imavatar-deploy[dev]'")
    return grpc.model_config_pb2


@pytest.fixture(scope="module")
def repository(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("triton") / "avatar"
    shutil.copytree(exported.folder, folder)
    ROW.write(folder, None, silent)  # type: ignore[arg-type]
    return folder


def config(messages: Any, folder: Path, name: str) -> Any:
    return text_format.Parse(
        (folder / "triton" / name / "config.pbtxt").read_text(), messages.ModelConfig()
    )


@pytest.mark.parametrize("name", GRAPHS)
class TestModel:
    def test_configuration_has_the_inputs_and_outputs_of_the_graph(
        self, messages: Any, repository: Path, name: str
    ) -> None:
        model = config(messages, repository, name)
        graph = onnx.load(str(repository / f"{name}.onnx")).graph
        assert (model.name, model.backend) == (name, "onnxruntime")
        batched = name in BATCHED
        assert model.max_batch_size == BATCHED.get(name, 0)
        assert model.HasField("dynamic_batching") == batched
        for described, values in ((model.input, graph.input), (model.output, graph.output)):
            expected = {
                value.name: [dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim][
                    batched:
                ]
                for value in values
            }
            assert {tensor.name: list(tensor.dims) for tensor in described} == expected
            assert {tensor.data_type for tensor in described} == {messages.TYPE_FP32}
            assert {value.type.tensor_type.elem_type for value in values} == {TensorProto.FLOAT}

    def test_warm_up_is_the_golden_data(self, messages: Any, repository: Path, name: str) -> None:
        (warm_up,) = config(messages, repository, name).model_warmup
        case = read_golden(repository)[name]
        # The server refuses 0 for every max_batch_size. Of a batched graph it sends that many
        # requests, each of the first row.
        assert warm_up.batch_size == (4 if name in BATCHED else 1)
        assert warm_up.inputs.keys() == case.inputs.keys()
        for input_name, tensor in warm_up.inputs.items():
            raw = (repository / "triton" / name / "warmup" / tensor.input_data_file).read_bytes()
            size = tuple(tensor.dims)
            array = np.frombuffer(raw, "<f4").reshape((-1, *size) if name in BATCHED else size)
            np.testing.assert_array_equal(array, case.inputs[input_name])


@pytest.mark.parametrize("name", [*GRAPHS, "student"])
@pytest.mark.parametrize("size", [1, 4])
def test_rows_of_a_batch_are_those_of_single_requests(
    messages: Any, repository: Path, name: str, size: int
) -> None:
    """What the server does: it joins requests along the batch axis and splits the outputs."""
    model = config(messages, repository, name)
    session = open_session(repository / "triton" / name / "1" / "model.onnx")
    if not model.max_batch_size:
        shared = [tensor.name for tensor in session.get_inputs() if tensor.shape[0] == 1]
        assert shared == ["condition"]
        return
    rng = np.random.default_rng(3)
    rows = {
        tensor.name: 0.2 * rng.normal(size=(size, *tensor.dims)).astype(np.float32)
        for tensor in model.input
    }
    joined = run_graph(session, rows)
    for index in range(size):
        single = run_graph(session, {key: value[index : index + 1] for key, value in rows.items()})
        for key, value in single.items():
            np.testing.assert_allclose(joined[key][index], value[0], atol=1e-5)


def test_what_is_served_is_compared_with_the_networks(repository: Path, tmp_path: Path) -> None:
    reports = ROW.check(repository)
    assert sorted(report.subject for report in reports) == sorted(
        [f"triton {name}" for name in (*GRAPHS, "student")]
        + [f"triton {name}, batch of {size}" for name in BATCHED for size in (1, 4)]
    )
    assert all(report.passed for report in reports)
    damaged = tmp_path / "avatar"
    shutil.copytree(repository, damaged)
    data = damaged / "triton" / "texture" / "warmup" / "normal"
    data.write_bytes(np.zeros_like(np.frombuffer(data.read_bytes(), "<f4")).tobytes())
    assert [report.subject for report in ROW.check(damaged) if not report.passed] == [
        "triton texture"
    ]


@pytest.mark.parametrize(("flavour", "served"), [("tensorrt", True), ("tensorrt-rtx", False)])
def test_engines_are_served_where_the_server_has_their_flavour(
    messages: Any, exported: Exported, tmp_path: Path, flavour: str, served: bool
) -> None:
    folder = tmp_path / "avatar"
    shutil.copytree(exported.folder, folder)
    spec = EngineSpec(Profile(1, 1, 8), ("sm89",))
    built = BuiltEngine(b"a plan", (), (), "11.4.0.106")
    sidecar = _sidecar(
        "animate",
        read_golden(folder)["animate"],
        FLAVOURS[flavour],
        spec,
        Choice("fp32", b"", None),
        built,
    )
    write_engine(folder, built, replace(sidecar, executed="run here, compared"))
    names = _write(folder, None, silent)["triton"]["models"]  # type: ignore[arg-type]
    assert ("animate_tensorrt" in names) == served
    if served:
        model = config(messages, folder, "animate_tensorrt")
        assert model.backend == "tensorrt"
        assert model.max_batch_size == 8, "of the engine's profile"
        assert model.HasField("dynamic_batching")
        assert [tensor.name for tensor in model.output] == ["vertices", "normals"]
        assert (
            folder / "triton" / "animate_tensorrt" / "1" / "model.plan"
        ).read_bytes() == b"a plan"


@pytest.mark.usefixtures("graphs_at_hand")
def test_command_writes_a_repository(checkpoint: Path, tmp_path: Path) -> None:
    arguments = (
        "--format",
        "triton",
        "--out",
        str(tmp_path / "avatar"),
        "--resolution",
        "64",
        "--faces",
        "2000",
        "--keep-unseen",  # as `exported`, whose graphs are copied
        "--keep-bust",
    )
    result = CliRunner().invoke(export, [str(checkpoint), *arguments])
    assert result.exit_code == 0, result.output
    assert "no server was" in result.output
    assert {f"triton/{name}/1/model.onnx" for name in GRAPHS} <= open_avatar(
        tmp_path / "avatar"
    ).manifest["files"].keys()
