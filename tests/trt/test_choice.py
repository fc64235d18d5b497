"""The session of the texture network: the engine, or the policy's substitute."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner

from imavatar_deploy.avatar_io import AvatarFolder, open_avatar
from imavatar_deploy.errors import InputError, MissingDependencyError, UsageError
from imavatar_deploy.onnx_session import CUDA, open_session
from imavatar_deploy.runtime import Player, trt_policy
from imavatar_deploy.runtime.commands.run import run
from imavatar_deploy.runtime.commands.verify import verify
from imavatar_deploy.runtime.trt_policy import POLICIES, choose, rebuild
from imavatar_deploy.trt import flavours
from imavatar_deploy.trt.build import build_engine
from imavatar_deploy.trt.driver import NvidiaDriver
from imavatar_deploy.trt.sidecar import Sidecar, intact_plan

from .conftest import GPU
from .fakes import FakeCuda

NO_DRIVER = "no NVIDIA driver is installed here (libcuda.so.1 cannot be loaded)"


@pytest.fixture
def device(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeCuda:
    """A fake driver with a fake GPU, and a cache folder of the test."""
    for module in (trt_policy, flavours):
        monkeypatch.setattr(module, "probe_driver", lambda: NvidiaDriver("13.0", (GPU,)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cuda


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def probe() -> NvidiaDriver:
        raise MissingDependencyError(f"{NO_DRIVER}; install it, or play on the CPU")

    for module in ("onnx_session", "trt.verify"):
        monkeypatch.setattr(f"imavatar_deploy.{module}.probe_driver", probe)


def folder_of(path: Path) -> AvatarFolder:
    return open_avatar(path)


@pytest.mark.parametrize("policy", POLICIES)
def test_an_engine_that_can_run_runs(engine_folder: Path, device: FakeCuda, policy: str) -> None:
    chosen = choose(folder_of(engine_folder), "texture", policy)
    assert chosen.note == "tensorrt on NVIDIA RTX 4090, fp32"
    assert chosen.session.get_providers() == ["tensorrt"]
    chosen.close()
    assert not device.memory


def test_a_player_on_an_engine_draws_what_it_draws_on_the_cpu(
    engine_folder: Path, device: FakeCuda
) -> None:
    expression = np.full(50, 0.2)
    pose = np.zeros(15)
    for shading in ("vertex", "pixel"):
        images = []
        for backend in ("cpu", "tensorrt"):
            with Player(engine_folder, size=40, shading=shading, backend=backend) as player:
                images += [player.render(expression, pose), player.render(expression, pose)]
        for image in images[1:]:
            np.testing.assert_array_equal(image, images[0])
    assert device.launched, "some runs were CUDA graphs"
    assert not device.memory


def test_policy_fail_gives_the_reason(
    engine_folder: Path, device: FakeCuda, change: Callable[..., Sidecar]
) -> None:
    change(targets=("sm120",))
    with pytest.raises(
        InputError, match=r"cannot run here: it was built for sm120, NVIDIA RTX 4090 is sm89; use"
    ):
        choose(folder_of(engine_folder), "texture", "fail")


def test_policy_onnx_says_what_runs_instead(
    engine_folder: Path, device: FakeCuda, change: Callable[..., Sidecar]
) -> None:
    change(version="10.0.0.1")
    chosen = choose(folder_of(engine_folder), "texture", "onnx")
    assert chosen.session.get_providers() == ["CPUExecutionProvider"]
    message = "ONNX Runtime on the CPU: it was built by tensorrt 10.0.0.1, here is 11.4.0.106; "
    message += "this onnxruntime has no CUDA"
    assert chosen.note.startswith(message)


def test_policy_rebuild_builds_once_and_keeps_it(
    engine_folder: Path,
    device: FakeCuda,
    change: Callable[..., Sidecar],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TensorRT-RTX builds the engine; only loading it needs a device."""
    pytest.importorskip("tensorrt_rtx", reason="pip install 'imavatar-deploy[trt-rtx]'")
    change(version="10.0.0.1")
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    loaded: list[tuple[bytes, Sidecar]] = []
    session = SimpleNamespace(close=lambda: None)
    monkeypatch.setattr(
        trt_policy, "EngineSession", lambda *values: loaded.append(values) or session
    )
    builds: list[Any] = []
    monkeypatch.setattr(
        trt_policy,
        "build_engine",
        lambda *values, **more: builds.append(values) or build_engine(*values, **more),
    )
    for _ in range(2):
        chosen = choose(folder_of(engine_folder), "texture", "rebuild")
    (plan, sidecar), again = loaded
    assert again == (plan, sidecar)
    assert len(builds) == 1, "from the store the second time"
    assert (sidecar.flavour, sidecar.targets, sidecar.precision) == (
        "tensorrt-rtx",
        ("sm89",),
        "fp32",
    )
    assert sidecar.plan_bytes == len(plan)
    assert chosen.note.startswith("tensorrt-rtx on NVIDIA RTX 4090, fp32, rebuilt: ")
    place, _ = rebuild(folder_of(engine_folder), sidecar, GPU)
    assert intact_plan(place, sidecar) == plan
    next(place.rglob("*.plan")).write_bytes(b"spoilt")
    place, sidecar = rebuild(folder_of(engine_folder), sidecar, GPU)
    assert len(builds) == 2, "what was spoilt is built again"
    assert intact_plan(place, sidecar) is not None


def test_rebuild_refuses_another_graph(
    engine_folder: Path, device: FakeCuda, change: Callable[..., Sidecar]
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="pip install 'imavatar-deploy[trt-rtx]'")
    change(source_sha256="0" * 64)
    with pytest.raises(
        InputError,
        match=r"texture\.onnx is not the graph from which the engine of texture was built",
    ):
        choose(folder_of(engine_folder), "texture", "rebuild")


@pytest.mark.usefixtures("device")
def test_an_avatar_without_engines_says_how_to_get_them(tiny_avatar_folder: Path) -> None:
    with pytest.raises(
        InputError, match="has no engine of texture; export it again with --format trt"
    ):
        choose(folder_of(tiny_avatar_folder), "texture", "rebuild")


@pytest.mark.usefixtures("no_driver")
def test_commands_say_that_there_is_no_driver(engine_folder: Path) -> None:
    arguments = [
        str(engine_folder),
        "--sink",
        "null",
        "--frames",
        "0:2",
        "--size",
        "16",
        "--backend",
        "tensorrt",
    ]
    result = CliRunner().invoke(run, arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (5, 1)
    assert NO_DRIVER in result.stderr
    result = CliRunner().invoke(run, [*arguments, "--engine-policy", "onnx"])
    assert result.exit_code == 0, result.output
    assert result.stderr == f"ONNX Runtime on the CPU: {NO_DRIVER}\n"
    result = CliRunner().invoke(verify, [str(engine_folder)])
    assert result.exit_code == 0, result.output
    assert f"engine of texture not run: {NO_DRIVER}" in result.stdout


def test_unknown_names_are_refused(tiny_avatar_folder: Path) -> None:
    with pytest.raises(UsageError, match="unknown backend 'gpu': expected one of cpu, "):
        Player(tiny_avatar_folder, backend="gpu")
    with pytest.raises(UsageError, match="unknown engine policy 'guess'"):
        Player(tiny_avatar_folder, backend="tensorrt", engine_policy="guess")


class Falls(SimpleNamespace):
    """onnxruntime-gpu on a machine whose GPU does not start."""

    SessionOptions = onnxruntime.SessionOptions

    def get_available_providers(self) -> list[str]:
        return [CUDA, "CPUExecutionProvider"]  # the providers it was built with

    def preload_dlls(self) -> None:
        self.preloaded = True

    def InferenceSession(self, path: str, options: Any, providers: list[str]) -> Any:
        assert options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"
        assert self.preloaded
        if self.raises:
            raise RuntimeError(
                "This session contains graph nodes that are assigned to the default CPU EP\nmore"
            )
        return SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (onnxruntime, "this onnxruntime has no CUDAExecutionProvider"),
        (
            Falls(raises=True),
            r"CUDAExecutionProvider cannot compute .*"
            r"assigned to the default CPU EP\); run imavatar-doctor",
        ),
        (Falls(raises=False), "CUDAExecutionProvider did not start on this machine"),
        (Falls(raises=None), NO_DRIVER.partition(" (")[0]),
    ],
)
def test_cuda_never_means_the_cpu(
    tiny_avatar_folder: Path, monkeypatch: pytest.MonkeyPatch, module: Any, message: str
) -> None:
    def probe() -> NvidiaDriver:
        if getattr(module, "raises", False) is None:
            raise MissingDependencyError(NO_DRIVER)
        return NvidiaDriver("13.0", (GPU,))

    if module is onnxruntime and CUDA in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime is a GPU build")
    monkeypatch.setattr("imavatar_deploy.onnx_session.require", lambda name, extra: module)
    monkeypatch.setattr("imavatar_deploy.onnx_session.probe_driver", probe)
    with pytest.raises(MissingDependencyError, match=message):
        open_session(tiny_avatar_folder / "texture.onnx", provider=CUDA)
