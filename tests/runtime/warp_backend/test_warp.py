"""WarpRenderer: refused arguments, isolation of players, no allocation while drawing."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from imavatar_deploy.avatar_io import write_avatar
from imavatar_deploy.errors import InputError, MissingDependencyError
from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.commands.run import run
from imavatar_deploy.trt.driver import probe_driver

from ...processes import run_python
from ...tiny_avatar import tiny_avatar
from .conftest import write_layers

pytest.importorskip("warp", reason="pip install 'imavatar-deploy[cuda]'")

from imavatar_deploy.runtime.warp_backend import renderer, texture_network
from imavatar_deploy.runtime.warp_backend.library import MODULE, start, wp
from imavatar_deploy.runtime.warp_backend.texture_weights import read_texture

STILL = np.zeros(50), np.zeros(15)


def no_driver() -> bool:
    try:
        probe_driver()
    except MissingDependencyError:
        return True
    return False


@pytest.mark.skipif(not no_driver(), reason="there is a driver here")
def test_cuda_without_a_driver_is_one_sentence(layered_folder: Path) -> None:
    arguments = [
        str(layered_folder),
        "--sink",
        "null",
        "--frames",
        "0:1",
        "--size",
        "16",
        "--backend",
        "cuda",
    ]
    result = CliRunner().invoke(run, arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (5, 1)
    assert "no NVIDIA driver is installed here" in result.stderr


def test_without_warp_the_sentence_has_the_pip_line(
    layered_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "warp", None)
    for backend in ("warp", "cuda"):
        with pytest.raises(MissingDependencyError, match=r"pip install 'imavatar-deploy\[cuda\]'"):
            Player(layered_folder, backend=backend)


def test_another_network_is_refused(
    tiny_avatar_folder: Path, layered_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        InputError,
        match="does not have the layout of this package.s texture networks; draw with "
        "--backend onnx-cuda",
    ):
        Player(tiny_avatar_folder, backend="warp", shading="vertex", size=8)
    with pytest.raises(
        InputError, match="takes codes of 8 numbers, the avatar has 9; export it again"
    ):
        read_texture(layered_folder / "texture.onnx", 9)
    (tmp_path / "texture.onnx").write_bytes(b"spoilt")
    with pytest.raises(InputError, match="is not an ONNX graph"):
        read_texture(tmp_path / "texture.onnx", 8)


@pytest.mark.parametrize(
    "spoil", ["fed from elsewhere", "another constant", "scaled", "another operator"]
)
def test_a_network_that_is_nearly_ours_is_refused(
    layered_folder: Path, tmp_path: Path, spoil: str
) -> None:
    model = onnx.load(layered_folder / "texture.onnx")
    nodes = {node.output[0]: node for node in model.graph.node}
    if spoil == "fed from elsewhere":
        nodes["relu1"].input[0] = "layer0"
    elif spoil == "another constant":
        nodes["rgb"].input[1] = "one"
    elif spoil == "scaled":
        nodes["layer1"].attribute.append(onnx.helper.make_attribute("alpha", 2.0))
    else:
        nodes["relu1"].op_type = "Sigmoid"
    onnx.save(model, tmp_path / "texture.onnx")
    with pytest.raises(InputError, match="does not have the layout"):
        read_texture(tmp_path / "texture.onnx", 8)


def test_the_weights_are_the_graph_s(layered_folder: Path) -> None:
    """Against ONNX's reference evaluator."""
    from onnx.reference import ReferenceEvaluator

    weights = read_texture(layered_folder / "texture.onnx", 8)
    rng = np.random.default_rng(0)
    code, normal, condition = (
        rng.normal(size=shape).astype(np.float32) for shape in ((5, 8), (5, 3), (1, 53))
    )
    inputs = {"code": code, "normal": normal, "condition": condition}
    (expected,) = ReferenceEvaluator(str(layered_folder / "texture.onnx")).run(None, inputs)
    hidden = np.concatenate([code, normal], axis=1) @ weights.first + weights.constant(condition)
    for weight, bias in weights.layers:
        hidden = np.maximum(hidden, 0) @ weight + bias
    np.testing.assert_allclose((np.tanh(hidden) + 1) / 2, expected, atol=1e-5)
    assert weights.flops == 2 * (11 * 40 + 40 * 150 + 150 * 24 + 24 * 3)


def test_the_first_backend_that_draws_prints_nothing(layered_folder: Path) -> None:
    """No banner of Warp, no warning of a missing driver, no report of compilations."""
    code = """
import sys
import numpy as np
from imavatar_deploy.runtime import Player
with Player(sys.argv[1], backend="warp", size=16) as player:
    player.render(np.zeros(50), np.zeros(15))
"""
    done = run_python(code, str(layered_folder))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_home_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    nowhere = tmp_path / "file"
    nowhere.write_text("no folder")
    code = """
from imavatar_deploy.runtime.warp_backend.library import start
import pathlib
wp = start()
print(pathlib.Path(wp.config.kernel_cache_dir).is_dir(), wp.config.kernel_cache_dir)
"""
    environment = {name: value for name, value in os.environ.items() if name != "WARP_CACHE_PATH"}
    where = {**environment, "XDG_CACHE_HOME": str(nowhere), "TMPDIR": str(tmp_path)}
    done = run_python(code, env=where)
    there, _, folder = done.stdout.strip().partition(" ")
    assert (there, done.stderr) == ("True", "")
    assert folder.startswith(str(tmp_path / "imavatar-warp-"))
    assert list(tmp_path.iterdir()) == [nowhere], "what was compiled goes with the process"


@pytest.mark.parametrize("shading", renderer.DEVICE_SHADINGS)
def test_drawing_takes_no_memory(
    layered_folder: Path, shading: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Player(layered_folder, backend="warp", shading=shading, size=32) as player:
        first = player.render(*STILL)

        def taken(*_: Any, **__: Any) -> None:
            raise AssertionError("memory was allocated while drawing")

        for name in ("zeros", "empty", "array", "full", "clone", "launch"):
            monkeypatch.setattr(wp, name, taken)
        for _ in range(3):
            np.testing.assert_array_equal(player.render(*STILL), first)
        player.render_batch(np.zeros((4, 50)), np.zeros((4, 15)))


def test_a_frame_without_faces_or_points(tmp_path: Path) -> None:
    """An avatar out of view runs the network on no point, whatever its list held before."""
    write_layers(tmp_path / "texture.onnx")
    write_avatar(tmp_path, tiny_avatar(), about={})
    from imavatar_deploy.camera import Camera

    with Player(tmp_path, backend="warp", shading="pixel", size=24, background="white") as player:
        image = player.render(*STILL)
        away = player.render(*STILL, Camera.looking_at([0.0, 0.0, -20.0]))
        np.testing.assert_array_equal(away, 255)
        np.testing.assert_array_equal(player.render(*STILL), image)


def test_tiles_fit_the_device() -> None:
    for shared, rows in ((227 << 10, 64), (99 << 10, 64), (64 << 10, 32), (48 << 10, 16)):
        assert texture_network.rows_that_fit(512, shared) == rows
    assert texture_network.rows_that_fit(1024, 99 << 10) == 32


def test_every_plain_kernel_compiles_for_cuda(tmp_path: Path) -> None:
    """By NVRTC, which needs no device; `benchmarks/gpu_compile.py` includes the network."""
    if 90 not in start().get_cuda_supported_archs():
        pytest.skip("this Warp was built without CUDA")
    (made,) = wp.compile_aot_module(MODULE, arch=90, module_dir=tmp_path, use_ptx=True)
    kernels = {name for name in wp.get_module(MODULE).kernels}
    code = made.read_text(encoding="utf-8")
    assert len(kernels) == 18
    for name in kernels:
        assert f".entry {name}" in code
