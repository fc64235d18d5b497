"""The table of backends: what draws an avatar's frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from imavatar_deploy.animation.shade import AUTO, SHADINGS
from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.drawing.workers import Workers
from imavatar_deploy.errors import UsageError, unknown_name
from imavatar_deploy.graphs import CPU, CUDA, open_session
from imavatar_deploy.optional import require
from imavatar_deploy.student import has_student

from .cpu_renderer import CpuRenderer
from .engines import Chosen, choose
from .renderer import Order, Renderer

GRAPH = "texture"
BY_NETWORK = tuple(name for name, row in SHADINGS.items() if row.asks_network)


@dataclass(frozen=True)
class Backend:
    """One way to draw."""

    description: str
    open: Callable[[Order], Renderer]
    auto: tuple[str, ...]
    """What the shading `auto` means: the first of these that the avatar has."""
    shadings: tuple[str, ...] = tuple(SHADINGS)
    """The rows of `shade.SHADINGS` that it draws."""


def _drawn_on_cpu(choose_network: Callable[[Order, int], Chosen]) -> Callable[[Order], Renderer]:
    """A row whose texture network runs in a session and whose other stages run on the host's cores."""

    def opened(order: Order) -> Renderer:
        workers = Workers(order.threads)
        asked = SHADINGS[order.shading].asks_network
        return CpuRenderer(order, choose_network(order, workers.threads) if asked else Chosen(None, ""), workers)

    return opened


def _onnxruntime(provider: str) -> Callable[[Order, int], Chosen]:
    def opened(order: Order, threads: int) -> Chosen:
        return Chosen(open_session(order.folder.file(f"{GRAPH}.onnx"), threads=threads, provider=provider), "")

    return opened


def _engine(order: Order, threads: int) -> Chosen:
    return choose(order.folder, GRAPH, order.engine_policy, threads)


def _drawn_by_warp(device: str) -> Callable[[Order], Renderer]:
    """A row whose every stage runs on a device of Warp's, which is imported when it is asked for."""

    def opened(order: Order) -> Renderer:
        require("warp", extra="cuda")
        from .gpu import renderer

        return renderer.WarpRenderer(order, renderer.DEVICES[device]())

    return opened


BACKENDS = {
    "cpu": Backend("everything on the CPU", _drawn_on_cpu(_onnxruntime(CPU)), ("student", "vertex")),
    "cuda": Backend(
        "everything on the GPU (warp-lang), or an error; the first start compiles for a minute",
        _drawn_by_warp("cuda"),
        ("pixel", "student"),
    ),
    "warp": Backend(
        "what --backend cuda runs, on one core of the CPU: slow, to check it anywhere",
        _drawn_by_warp("cpu"),
        ("student", "vertex"),
    ),
    "onnx-cuda": Backend(
        "colours by ONNX Runtime on the GPU (onnxruntime-gpu), or an error; the rest on the CPU",
        _drawn_on_cpu(_onnxruntime(CUDA)),
        ("vertex",),
        BY_NETWORK,
    ),
    "tensorrt": Backend(
        "colours by the avatar's engine, see --engine-policy; the rest on the CPU",
        _drawn_on_cpu(_engine),
        ("vertex",),
        BY_NETWORK,
    ),
}
"""The table of `--backend`."""


def find_backend(name: str) -> Backend:
    """The row of that name.

    Raises:
        UsageError: there is no such backend.
    """
    if name not in BACKENDS:
        raise unknown_name("backend", name, BACKENDS)
    return BACKENDS[name]


def resolve_shading(name: str, folder: AvatarFolder, backend: str) -> str:
    """The row of `SHADINGS` that a name means for a folder whose frames `backend` draws.

    Raises:
        UsageError: neither `AUTO` nor a row, or one that the backend does not draw.
    """
    row = find_backend(backend)
    if name == AUTO:
        return next((shading for shading in row.auto if _has(folder, shading)), BY_NETWORK[0])
    if name not in SHADINGS:
        raise unknown_name("shading", name, (*SHADINGS, AUTO))
    if name not in row.shadings:
        raise UsageError(
            f"--backend {backend} does not draw --shading {name}; leave out one of the two, "
            f"or shade by {' or '.join(row.shadings)}"
        )
    return name


def _has(folder: AvatarFolder, shading: str) -> bool:
    return f"{GRAPH}.onnx" in folder.manifest["files"] if SHADINGS[shading].asks_network else has_student(folder)
