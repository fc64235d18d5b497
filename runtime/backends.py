"""The table of backends: the renderers of an avatar's frames, and the shadings of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.errors import UsageError, unknown_name
from imavatar_deploy.onnx_session import CUDA, open_session
from imavatar_deploy.optional import require
from imavatar_deploy.rendering.cpu_renderer import CpuRenderer, open_cpu_renderer
from imavatar_deploy.rendering.renderer import RenderConfig, Renderer
from imavatar_deploy.rendering.shading import AUTO, CPU_PREFERENCE, SHADINGS, available_shading
from imavatar_deploy.rendering.supersampling import open_antialiased
from imavatar_deploy.rendering.texture_network import TEXTURE_GRAPH
from imavatar_deploy.rendering.workers import Workers

from .trt_policy import POLICIES, choose

NETWORK_SHADINGS = tuple(name for name, row in SHADINGS.items() if row.uses_texture_network)
OpenRenderer = Callable[[RenderConfig, str], Renderer]
"""A configuration and a row of `trt_policy.POLICIES` -> an open renderer."""


@dataclass(frozen=True)
class Backend:
    """One way to draw."""

    description: str
    open: OpenRenderer
    auto: tuple[str, ...] = CPU_PREFERENCE
    """Meaning of the shading `auto`: the first of these that the avatar has."""
    shadings: tuple[str, ...] = tuple(SHADINGS)
    """The rows of `shading.SHADINGS` that it supports."""


def _cpu(config: RenderConfig, engine_policy: str) -> Renderer:
    return open_cpu_renderer(config)


def _onnx_cuda(config: RenderConfig, engine_policy: str) -> Renderer:
    workers = Workers(config.threads)
    graph = config.folder.file(TEXTURE_GRAPH)
    session = open_session(graph, threads=workers.threads, provider=CUDA)
    return CpuRenderer(config, workers, session)


def _tensorrt(config: RenderConfig, engine_policy: str) -> Renderer:
    workers = Workers(config.threads)
    choice = choose(config.folder, Path(TEXTURE_GRAPH).stem, engine_policy, workers.threads)
    return CpuRenderer(
        config, workers, choice.session, note=choice.note, close_session=choice.close
    )


def _warp(device: str) -> OpenRenderer:
    """The opener of a renderer on a device of Warp, which is imported on first use."""

    def open_warp(config: RenderConfig, engine_policy: str) -> Renderer:
        require("warp", extra="cuda")
        from .warp_backend import renderer

        return renderer.WarpRenderer(config, renderer.DEVICES[device]())

    return open_warp


BACKENDS = {
    "cpu": Backend("everything on the CPU", _cpu),
    "cuda": Backend(
        "everything on the GPU (warp-lang), or an error; the first start compiles for a minute",
        _warp("cuda"),
        ("pixel", "student"),
    ),
    "warp": Backend(
        "what --backend cuda runs, on one core of the CPU: slow, to check it anywhere",
        _warp("cpu"),
    ),
    "onnx-cuda": Backend(
        "colours by ONNX Runtime on the GPU (onnxruntime-gpu), or an error; the rest on the CPU",
        _onnx_cuda,
        ("vertex",),
        NETWORK_SHADINGS,
    ),
    "tensorrt": Backend(
        "colours by the avatar's engine, see --engine-policy; the rest on the CPU",
        _tensorrt,
        ("vertex",),
        NETWORK_SHADINGS,
    ),
}
"""The table of `--backend`."""


def find_backend(name: str) -> Backend:
    """Return the backend of a name.

    Raises:
        UsageError: there is no such backend.
    """
    if name not in BACKENDS:
        raise unknown_name("backend", name, BACKENDS)
    return BACKENDS[name]


def open_renderer(config: RenderConfig, backend: str, engine_policy: str) -> Renderer:
    """Open the renderer of a configuration.

    Args:
        backend: a row of `BACKENDS`.
        engine_policy: a row of `trt_policy.POLICIES`.

    Raises:
        UsageError: there is no such backend or policy.
        InputError: the folder lacks a file that the shading needs.
        MissingDependencyError: a package or device is missing.
    """
    row = find_backend(backend)
    if engine_policy not in POLICIES:
        raise unknown_name("engine policy", engine_policy, POLICIES)
    return open_antialiased(config, lambda inner: row.open(inner, engine_policy))


def resolve_shading(name: str, folder: AvatarFolder, backend: str) -> str:
    """Return the row of `SHADINGS` of a name, which may be `AUTO`, for a folder and a backend.

    Raises:
        UsageError: there is no such shading, or the backend does not support it.
    """
    row = find_backend(backend)
    if name == AUTO:
        return available_shading(folder, row.auto)
    if name not in SHADINGS:
        raise unknown_name("shading", name, (*SHADINGS, AUTO))
    if name not in row.shadings:
        raise UsageError(
            f"--backend {backend} does not draw --shading {name}; leave out one of the two, "
            f"or shade by {' or '.join(row.shadings)}"
        )
    return name
