"""Builds of engines by TensorRT-RTX, which needs no GPU, and the settings of the other flavour."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from imavatar_deploy.errors import InputError, MissingDependencyError, UsageError
from imavatar_deploy.trt import flavours
from imavatar_deploy.trt.build import EngineSpec, EngineTensor, Profile, build_engine, log_of
from imavatar_deploy.trt.flavours import FLAVOURS, find_flavour

from ..tiny_avatar import CODE, write_texture

RTX = FLAVOURS["tensorrt-rtx"]
PROFILE = Profile(1, 8, 64)
MALFORMED = 32  # EngineInvalidityDiagnostics.MALFORMED_ENGINE


@pytest.fixture(scope="module")
def trt() -> Any:
    return pytest.importorskip("tensorrt_rtx", reason="pip install 'imavatar-deploy[trt-rtx]'")


@pytest.fixture
def texture(tmp_path: Path) -> bytes:
    write_texture(tmp_path / "texture.onnx")
    return (tmp_path / "texture.onnx").read_bytes()


def test_builds_and_tells_what_goes_in_and_out(trt: Any, texture: bytes) -> None:
    built = build_engine(RTX, texture, EngineSpec(PROFILE, RTX.standard_targets))
    assert built.inputs == (
        EngineTensor("code", "float32", (-1, CODE)),
        EngineTensor("normal", "float32", (-1, 3)),
        EngineTensor("condition", "float32", (1, 53)),
    )
    assert built.outputs == (EngineTensor("rgb", "float32", (-1, 3)),)
    assert built.version == trt.__version__
    assert not trt.Runtime(log_of(trt)).get_engine_validity(built.plan)[1] & MALFORMED
    assert trt.Runtime(log_of(trt)).get_engine_validity(b"rubbish" * 100)[1] & MALFORMED, (
        "it can tell"
    )


@pytest.mark.parametrize("target", RTX.standard_targets)
def test_builds_for_each_architecture(trt: Any, texture: bytes, target: str) -> None:
    assert len(build_engine(RTX, texture, EngineSpec(PROFILE, (target,))).plan) > 1000


def test_tells_why_it_cannot_be_built(trt: Any, texture: bytes) -> None:
    """Turing has no float32 matrix multiplication; the message holds TensorRT's reason."""
    with pytest.raises(
        UsageError, match=r"tensorrt-rtx cannot build this engine for sm75: .*Turing"
    ):
        build_engine(RTX, texture, EngineSpec(PROFILE, ("sm75",)))


@pytest.mark.parametrize("damage", [b"", b"rubbish" * 100])
def test_refuses_what_its_parser_takes_for_a_graph(trt: Any, damage: bytes) -> None:
    with pytest.raises(InputError, match="TensorRT cannot read this ONNX graph"):
        build_engine(RTX, damage, EngineSpec(PROFILE, ("sm89",)))


def test_an_operator_it_does_not_know_is_named(trt: Any) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ("N", 3)) for name in ("x", "y"))
    node = helper.make_node("Wrinkle", ["x"], ["y"], domain="no.such.domain")
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("no.such.domain", 1)]
    graph = helper.make_model(
        helper.make_graph([node], "g", [x], [y]), opset_imports=opsets, ir_version=9
    )
    with pytest.raises(InputError, match="Wrinkle"):
        build_engine(RTX, graph.SerializeToString(), EngineSpec(PROFILE, ("sm89",)))


def test_float32_stays_float32(trt: Any) -> None:
    """TF32 has the digits of float16 and is on by default."""
    weight = numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ("N", 3)) for name in ("x", "y"))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weight]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    configs = []
    watched = replace(
        RTX, configure=lambda *arguments: configs.append(arguments[1]) or RTX.configure(*arguments)
    )
    build_engine(watched, model.SerializeToString(), EngineSpec(PROFILE, ("sm89",)))
    assert not configs[0].get_flag(trt.BuilderFlag.TF32)
    assert configs[0].num_compute_capabilities == 1
    assert configs[0].get_compute_capability(0) == trt.ComputeCapability.SM89


class TestTensorrt:
    """The other flavour, whose libraries are not in a package index, up to its calls."""

    def test_compatibility_is_said_to_the_builder(self, trt: Any) -> None:
        config = trt.Builder(log_of(trt)).create_builder_config()  # the same names in both flavours
        FLAVOURS["tensorrt"].configure(trt, config, (), "version")
        assert config.get_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        arguments = MagicMock()
        FLAVOURS["tensorrt"].configure(trt, arguments, (), "hardware")
        assert arguments.hardware_compatibility_level == trt.HardwareCompatibilityLevel.AMPERE_PLUS
        arguments.set_flag.assert_not_called()

    def test_timing_cache_goes_in_and_comes_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fake = MagicMock(__version__="11.4.0.106")
        fake.ILogger = type("ILogger", (), {})
        fake.nptype = lambda dtype: np.float32
        builder, config = (
            fake.Builder.return_value,
            fake.Builder.return_value.create_builder_config.return_value,
        )
        builder.create_network.return_value.configure_mock(num_inputs=1, num_outputs=0)
        builder.build_serialized_network.return_value = b"plan"
        config.get_timing_cache.return_value.serialize.return_value = b"later"
        monkeypatch.setitem(sys.modules, "tensorrt", fake)
        built = build_engine(
            FLAVOURS["tensorrt"], b"graph", EngineSpec(PROFILE, ("sm89",)), timing=b"earlier"
        )
        config.create_timing_cache.assert_called_once_with(b"earlier")
        config.set_timing_cache.assert_called_once_with(
            config.create_timing_cache.return_value, True
        )
        assert (built.plan, built.timing) == (b"plan", b"later")


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that makes modules missing."""

    def hide(*modules: str) -> None:
        for module in modules:
            monkeypatch.setitem(sys.modules, module, None)

    return hide


@pytest.mark.parametrize("device", [True, False])
def test_flavour_is_the_one_that_is_there(
    trt: Any, without: Any, monkeypatch: pytest.MonkeyPatch, device: bool
) -> None:
    monkeypatch.setattr(flavours, "_has_device", lambda: device)
    monkeypatch.setitem(sys.modules, "tensorrt", MagicMock())
    assert find_flavour().name == ("tensorrt" if device else "tensorrt-rtx")
    without("tensorrt")
    assert find_flavour().name == "tensorrt-rtx"


def test_no_flavour_is_a_sentence_with_both_lines(without: Any) -> None:
    without("tensorrt", "tensorrt_rtx")
    with pytest.raises(MissingDependencyError) as caught:
        find_flavour()
    for line in ("pip install 'imavatar-deploy[trt-rtx]'", "pip install 'imavatar-deploy[trt]'"):
        assert line in str(caught.value)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: find_flavour("tensorflow"), "unknown flavour of TensorRT 'tensorflow'"),
        (lambda: RTX.targets_here(("sm90",)), "unknown architecture of tensorrt-rtx 'sm90'"),
        (
            lambda: RTX.check_compatibility("hardware"),
            "builds no plans of compatibility 'hardware', only none",
        ),
        (lambda: RTX.check_compatibility("all"), "unknown compatibility 'all'"),
        (
            lambda: FLAVOURS["tensorrt"].targets_here(("sm89",)),
            "builds for the GPU it runs on, got --trt-targets sm89",
        ),
    ],
)
def test_what_cannot_be_ordered_is_refused(ask: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ask()
