"""Probes of the GPU parts: driver, ONNX Runtime's CUDA provider, TensorRT, CUDA memory, Warp."""

from __future__ import annotations

from imavatar_deploy.avatar_io import SAMPLE
from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.onnx_session import open_session
from imavatar_deploy.progress import human_bytes
from imavatar_deploy.trt.build import EngineSpec, Profile, build_engine
from imavatar_deploy.trt.driver import probe_driver
from imavatar_deploy.trt.flavours import FLAVOURS, Flavour

from .probe import AbsentError, Probe
from .probes_core import import_with_version, version_of

INSTALL_DRIVER = "install NVIDIA's driver; nvidia-smi must list a GPU"


def _driver() -> str:
    try:
        driver = probe_driver()
    except MissingDependencyError as error:
        raise AbsentError(str(error).partition(";")[0], INSTALL_DRIVER) from error
    devices = ", ".join(f"{device.name} ({device.architecture})" for device in driver.devices)
    return f"CUDA {driver.cuda}: {devices}"


def _cuda_provider() -> str:
    runtime, _ = import_with_version("onnxruntime", "onnxruntime-gpu")
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        raise AbsentError("this onnxruntime is a CPU build")
    _driver()
    session = open_session(SAMPLE / "texture.onnx", provider="CUDAExecutionProvider")
    return f"onnxruntime-gpu {version_of('onnxruntime-gpu')}, {', '.join(session.get_providers())}"


def _flavour(flavour: Flavour) -> str:
    library, _ = import_with_version(flavour.module, flavour.package)
    version = f"{flavour.package} {library.__version__}"
    try:
        driver = probe_driver()
    except MissingDependencyError as error:
        if flavour.builds_without_device:
            return (
                f"{version} builds an engine ({_try_to_build(flavour)}); to run one needs a driver"
            )
        raise AbsentError(
            f"{version} loads, but neither builds nor runs without a driver", INSTALL_DRIVER
        ) from error
    return f"{version} builds an engine ({_try_to_build(flavour)}) for {driver.devices[0].name}"


def _try_to_build(flavour: Flavour) -> str:
    graph = (SAMPLE / "texture.onnx").read_bytes()
    built = build_engine(flavour, graph, EngineSpec(Profile(1, 2, 8), flavour.targets_here(())))
    return f"texture.onnx of the sample, {human_bytes(len(built.plan))}"


def _tensorrt_rtx() -> str:
    return _flavour(FLAVOURS["tensorrt-rtx"])


def _tensorrt() -> str:
    return _flavour(FLAVOURS["tensorrt"])


def _cuda_memory() -> str:
    runtime, version = import_with_version("cuda.bindings.runtime", "cuda-bindings")
    _driver()
    error, count = runtime.cudaGetDeviceCount()
    if int(error):
        raise OSError(f"cudaGetDeviceCount: {error.name}")
    return f"{version}, {count} device(s)"


def _warp() -> str:
    _, version = import_with_version("warp", "warp-lang")
    import_with_version("onnx", "onnx")
    on_cpu = f"{version}, {_count_pixels('warp')} pixels of the sample drawn on the CPU"
    try:
        probe_driver()
    except MissingDependencyError as error:
        return f"{on_cpu}; on a GPU: {str(error).partition(';')[0]}"
    return f"{on_cpu}, {_count_pixels('cuda')} on the GPU"


def _count_pixels(backend: str) -> int:
    import numpy as np

    from ..player import Player

    with Player("sample", size=64, shading="student", backend=backend) as player:
        count = int((player.render(np.zeros(50), np.zeros(15))[..., 3] == 255).sum())
    if not count:
        raise ArithmeticError(f"--backend {backend} drew the sample and no pixel is covered")
    return count


ROWS = (
    Probe("nvidia driver", "everything on a GPU", INSTALL_DRIVER, _driver),
    Probe(
        "warp",
        "imavatar-run --backend cuda, --backend warp",
        "pip install 'imavatar-deploy[cuda]'",
        _warp,
    ),
    Probe(
        "onnxruntime cuda",
        "imavatar-run --backend onnx-cuda",
        "pip uninstall -y onnxruntime && "
        "pip install 'imavatar-deploy[gpu]' 'onnxruntime-gpu[cuda,cudnn]'",
        _cuda_provider,
    ),
    Probe(
        "tensorrt-rtx",
        "--format trt, --backend tensorrt",
        FLAVOURS["tensorrt-rtx"].install,
        _tensorrt_rtx,
    ),
    Probe("tensorrt", "--format trt, --backend tensorrt", FLAVOURS["tensorrt"].install, _tensorrt),
    Probe("cuda memory", "--backend tensorrt", "pip install cuda-bindings", _cuda_memory),
)
