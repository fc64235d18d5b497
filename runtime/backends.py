"""The table of backends: what computes an avatar's colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.errors import unknown_name
from imavatar_deploy.graphs import CPU, CUDA, open_session

from .engines import Chosen, choose

GRAPH = "texture"


@dataclass(frozen=True)
class Backend:
    """One way to run the texture network."""

    description: str
    open: Callable[[AvatarFolder, int, str], Chosen]
    """(avatar, threads, engine policy) -> what runs it."""


def _onnxruntime(provider: str) -> Callable[[AvatarFolder, int, str], Chosen]:
    def opened(folder: AvatarFolder, threads: int, policy: str) -> Chosen:
        session = open_session(folder.file(f"{GRAPH}.onnx"), threads=threads, provider=provider)
        return Chosen(session, "")

    return opened


def _engine(folder: AvatarFolder, threads: int, policy: str) -> Chosen:
    return choose(folder, GRAPH, policy, threads)


BACKENDS = {
    "cpu": Backend("ONNX Runtime on the CPU", _onnxruntime(CPU)),
    "cuda": Backend("ONNX Runtime on the GPU (onnxruntime-gpu), or an error", _onnxruntime(CUDA)),
    "tensorrt": Backend("the avatar's engine, see --engine-policy", _engine),
}
"""The table of `--backend`."""


def open_backend(name: str, folder: AvatarFolder, threads: int, policy: str) -> Chosen:
    """What runs the texture network of an avatar.

    Raises:
        UsageError: there is no such backend or policy.
        MissingDependencyError: it needs a package or device that is not there.
        InputError: the avatar does not have what it needs.
    """
    if name not in BACKENDS:
        raise unknown_name("backend", name, BACKENDS)
    return BACKENDS[name].open(folder, threads, policy)
