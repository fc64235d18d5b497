"""`--format trt`: built engines, precision by measured drift, correct sidecars."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar_io import open_avatar, sha256
from imavatar_deploy.errors import InputError, MissingDependencyError, QualityError
from imavatar_deploy.exporters.commands.export import export
from imavatar_deploy.exporters.commands.options import availability
from imavatar_deploy.exporters.formats import tensorrt
from imavatar_deploy.exporters.formats.tensorrt import GRAPHS, profile, write_one
from imavatar_deploy.exporters.formats.tensorrt_precision import choose
from imavatar_deploy.fidelity.golden import GoldenCase, read_golden
from imavatar_deploy.fidelity.parity import Tolerance
from imavatar_deploy.onnx_session import open_session, run_graph
from imavatar_deploy.trt.build import EngineSpec, EngineTensor
from imavatar_deploy.trt.flavours import FLAVOURS
from imavatar_deploy.trt.sidecar import intact_plan, plan_path, read_sidecar, read_sidecars

from .conftest import Exported

RTX = FLAVOURS["tensorrt-rtx"]
NUMPY = {TensorProto.FLOAT: "float32"}


@pytest.fixture(scope="module")
def trt() -> Any:
    return pytest.importorskip("tensorrt_rtx", reason="pip install 'imavatar-deploy[trt-rtx]'")


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def probe() -> None:
        raise MissingDependencyError("no NVIDIA driver is installed here; install it")

    monkeypatch.setattr("imavatar_deploy.trt.verify.probe_driver", probe)


@pytest.fixture(scope="module")
def engines(trt: Any, exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small avatar's folder with the engines of all its graphs."""
    folder = tmp_path_factory.mktemp("engines") / "avatar"
    shutil.copytree(exported.folder, folder)
    vertices = open_avatar(folder).avatar.vertex_count
    cases = read_golden(folder)
    for name in GRAPHS:
        write_one(
            folder,
            name,
            cases[name],
            RTX,
            EngineSpec(profile(name, vertices), RTX.standard_targets),
            "auto",
        )
    return folder


@pytest.mark.parametrize("name", GRAPHS)
class TestEngine:
    def test_has_the_inputs_and_outputs_of_the_graph(self, engines: Path, name: str) -> None:
        graph, sidecar = onnx.load(str(engines / f"{name}.onnx")).graph, read_sidecar(engines, name)
        for values, described in ((graph.input, sidecar.inputs), (graph.output, sidecar.outputs)):
            expected = [
                EngineTensor(
                    value.name,
                    NUMPY[value.type.tensor_type.elem_type],
                    tuple(dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim),
                )
                for value in values
            ]
            assert sorted(described, key=str) == sorted(expected, key=str)
            assert any(-1 in tensor.shape for tensor in described)

    def test_multiplies_in_the_precision_of_the_sidecar(
        self, trt: Any, engines: Path, name: str
    ) -> None:
        sidecar = read_sidecar(engines, name)
        assert sidecar.precision == ("fp16" if name == "texture" else "fp32")
        network = parsed(trt, (engines / sidecar.source).read_bytes())
        layers = [network.get_layer(index) for index in range(network.num_layers)]
        types = {
            layer.get_output(0).dtype
            for layer in layers
            if layer.type == trt.LayerType.MATRIX_MULTIPLY
        }
        assert types == {trt.DataType.HALF if sidecar.precision == "fp16" else trt.DataType.FLOAT}

    def test_sidecar_describes_the_engine(self, trt: Any, engines: Path, name: str) -> None:
        sidecar, plan = read_sidecar(engines, name), plan_path(engines, name)
        assert (sidecar.plan_bytes, sidecar.plan_sha256) == (plan.stat().st_size, sha256(plan))
        assert sidecar.source_sha256 == sha256(engines / sidecar.source)
        assert (sidecar.flavour, sidecar.version) == ("tensorrt-rtx", trt.__version__)
        assert sidecar.targets == RTX.standard_targets
        assert (
            sidecar.limits.keys()
            == sidecar.half_drift.keys()
            == read_golden(engines)[name].outputs.keys()
        )
        assert intact_plan(engines, sidecar) == plan.read_bytes()

    def test_profile_admits_the_golden_data(self, engines: Path, name: str) -> None:
        allowed, case = read_sidecar(engines, name).profile, read_golden(engines)[name]
        assert allowed.least <= len(next(iter(case.outputs.values()))) <= allowed.most


def parsed(trt: Any, graph: bytes) -> Any:
    """The graph as TensorRT's parser reads it; the builder and the parser must outlive it."""
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
    assert parser.parse(graph)
    REFERENCES.extend((builder, parser))
    return network


REFERENCES: list[Any] = []
"""Builders and parsers of networks in use."""


def test_a_damaged_plan_is_not_returned(engines: Path, tmp_path: Path) -> None:
    folder = tmp_path / "avatar"
    shutil.copytree(engines, folder)
    sidecar, path = read_sidecar(folder, "texture"), plan_path(folder, "texture")
    path.write_bytes(path.read_bytes()[:-1])
    assert intact_plan(folder, sidecar) is None
    for content, message in (
        ("{", "is not an engine's sidecar"),
        ('{"schema_version": 9}', "schema version 9"),
    ):
        path.with_suffix(".json").write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=message):
            read_sidecar(folder, "texture")


@pytest.mark.usefixtures("no_driver")
def test_without_a_device_the_graphs_of_engines_are_checked(engines: Path) -> None:
    reports = tensorrt.ROWS[0].check(engines)
    assert sorted(report.subject for report in reports) == [
        "animate fp32, cpu",
        "deformation fp32, cpu",
        "texture fp16, cpu",
    ]
    assert all(report.passed for report in reports)
    assert {sidecar.executed for sidecar in read_sidecars(engines)} == {
        "not run: no NVIDIA driver is installed here"
    }
    assert all("not run: no NVIDIA driver" in note for note in tensorrt.ROWS[0].notes(engines))


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"rubbish" * 99]
)
def test_a_damaged_graph_is_refused(
    trt: Any, exported: Exported, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "texture.onnx").write_bytes(damage((exported.folder / "texture.onnx").read_bytes()))
    case = read_golden(exported.folder)["texture"]
    with pytest.raises(InputError, match=r"texture\.onnx is not a valid ONNX graph"):
        write_one(
            tmp_path, "texture", case, RTX, EngineSpec(profile("texture", 9), ("sm89",)), "auto"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["texture.onnx"]


def times(weight: Float32[Array, "N M"], name: str = "y") -> bytes:
    """y = x W."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", weight.shape[0]))
    y = helper.make_tensor_value_info(name, TensorProto.FLOAT, ("N", weight.shape[1]))
    nodes = [helper.make_node("MatMul", ["x", "w"], [name])]
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def case_of(weight: Float32[Array, "N M"], allowed: float, name: str = "y") -> GoldenCase:
    x = np.random.default_rng(2).random((300, weight.shape[0])).astype(np.float32)
    truth = (x.astype(np.float64) @ weight).astype(np.float32)
    return GoldenCase({"x": x}, {name: truth}, {name: Tolerance(allowed)})


WEIGHT = np.random.default_rng(1).random((4, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("scale", "allowed", "precision"),
    [
        (1.0, 1e-2, "fp16"),  # sums up to 4, half a step of float16 there is 1e-3
        (1.0, 1e-4, "fp32"),
        (100.0, 1e-2, "fp32"),
        (1e5, 1e9, "fp32"),  # beyond what float16 can hold: infinite, and no tolerance admits that
    ],
)
def test_drift_decides_the_precision(scale: float, allowed: float, precision: str) -> None:
    weight = np.float32(scale) * WEIGHT
    graph, case = times(weight), case_of(weight, allowed)
    choice = choose("some", graph, case, "auto")
    assert choice.precision == precision
    assert choice.half is not None
    assert choice.half.passed == (precision == "fp16")
    assert (choice.graph == graph) == (precision == "fp32")
    assert choose("some", graph, case, "fp16").graph == choice.graph
    assert choose("some", graph, case, "fp32").graph == graph


def test_requested_half_precision_is_refused_if_colours_drift() -> None:
    graph = times(np.float32(100) * WEIGHT, "rgb")
    case = case_of(np.float32(100) * WEIGHT, 1e-4, "rgb")
    with pytest.raises(
        QualityError, match=r"texture in fp16\.rgb differs by .*--trt-precision auto"
    ):
        choose("texture", graph, case, "fp16")
    assert choose("texture", graph, case, "auto").precision == "fp32"


def test_casts_change_the_weights_and_keep_the_interface(
    exported: Exported, tmp_path: Path
) -> None:
    case = read_golden(exported.folder)["texture"]
    graph = (exported.folder / "texture.onnx").read_bytes()
    (tmp_path / "half.onnx").write_bytes(choose("texture", graph, case, "fp16").graph)
    half = onnx.load(str(tmp_path / "half.onnx"))
    assert {tensor.data_type for tensor in half.graph.initializer} == {TensorProto.FLOAT16}
    assert {
        value.type.tensor_type.elem_type for value in (*half.graph.input, *half.graph.output)
    } == {TensorProto.FLOAT}
    values = run_graph(open_session(tmp_path / "half.onnx"), case.inputs)["rgb"]
    assert 1e-6 < np.abs(values - case.outputs["rgb"]).max() < 1 / 510


def test_drift_includes_rounding_that_onnxruntime_omits(exported: Exported) -> None:
    """The animation replaces a zero angle by 1e-8, which is zero in half precision."""
    case = read_golden(exported.folder)["animate"]
    choice = choose("animate", (exported.folder / "animate.onnx").read_bytes(), case, "auto")
    assert choice.half is not None
    assert np.isnan([row.largest for row in choice.half.differences]).all()


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(export, [str(argument) for argument in arguments])


@pytest.mark.usefixtures("no_driver", "graphs_at_hand")
def test_command_writes_engines_and_reports_which_were_not_run(
    trt: Any, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "avatar"
    options = (
        "--resolution",
        64,
        "--faces",
        2000,
        "--keep-unseen",  # as `exported`, whose graphs are copied
        "--keep-bust",
        "--trt-flavour",
        "tensorrt-rtx",
        "--trt-targets",
        "sm86,sm89",
    )
    result = call(checkpoint, "--format", "trt", "--out", out, *options)
    assert result.exit_code == 0, result.output
    manifest = open_avatar(out).manifest
    for name in GRAPHS:
        precision = read_sidecar(out, name).precision
        note = f"engines/{name}.plan ({precision}, tensorrt-rtx): not run: no NVIDIA"
        assert note in result.output
        assert {f"{name}.onnx", f"engines/{name}.plan", f"engines/{name}.json"} <= manifest[
            "files"
        ].keys()
        assert read_sidecar(out, name).targets == ("sm86", "sm89")
        assert manifest["graphs"]["engines"][name]["flavour"] == "tensorrt-rtx"
    assert (
        str(tmp_path)
        not in json.dumps(manifest) + plan_path(out, "texture").with_suffix(".json").read_text()
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--trt-flavour", "tensorrt9"), 2, "unknown flavour of TensorRT 'tensorrt9'"),
        (
            ("--trt-precision", "int8"),
            2,
            "unknown precision 'int8': expected one of auto, fp16, fp32",
        ),
        (("--trt-compatibility", "all"), 2, "unknown compatibility 'all'"),
        (
            ("--trt-flavour", "tensorrt-rtx", "--trt-compatibility", "version"),
            2,
            "compatibility 'version', only none",
        ),
        (
            ("--trt-flavour", "tensorrt-rtx", "--trt-targets", "sm90"),
            2,
            "unknown architecture of tensorrt-rtx 'sm90'",
        ),
    ],
)
def test_invalid_options_are_refused_before_the_work(
    trt: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.setattr("imavatar_deploy.exporters.export.load_checkpoint", None)
    result = call("sample", "--format", "trt", "--out", tmp_path / "avatar", *arguments)
    assert result.exit_code == code
    assert message in result.output
    assert result.output.count("\n") == 1


def test_a_missing_tensorrt_is_reported_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr("imavatar_deploy.exporters.export.load_checkpoint", None)
    for module in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, module, None)
    result = call("sample", "--format", "trt", "--out", tmp_path / "avatar")
    assert result.exit_code == 5
    assert "pip install 'imavatar-deploy[trt-rtx]'" in result.output
    assert not list(tmp_path.iterdir())
    assert "pip install 'imavatar-deploy\\[trt-rtx]'" in availability(tensorrt.ROWS[0])
