"""TensorRT engines of an avatar: the one that runs here, or a replacement by a policy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imavatar_deploy.atomic import atomic_folder
from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.errors import InputError, MissingDependencyError, unknown_name
from imavatar_deploy.onnx_session import CUDA, open_session
from imavatar_deploy.trt.build import EngineSpec, build_engine
from imavatar_deploy.trt.driver import Device, probe_driver
from imavatar_deploy.trt.flavours import find_flavour
from imavatar_deploy.trt.preflight import preflight
from imavatar_deploy.trt.session import EngineSession
from imavatar_deploy.trt.sidecar import (
    FOLDER,
    Sidecar,
    input_key,
    plan_path,
    read_sidecar,
    read_timing,
    store,
    system_here,
    write_engine,
    write_timing,
)


@dataclass(frozen=True)
class EngineChoice:
    """The session that runs a graph."""

    session: Any
    note: str
    """What it is, and why, where it is not the avatar's engine."""
    close: Callable[[], None] = lambda: None
    """Releases its memory on a device."""


def choose(folder: AvatarFolder, graph: str, policy: str, threads: int = 0) -> EngineChoice:
    """Return the engine of `graph` if it can run here, else the replacement of a policy.

    Args:
        folder: the avatar.
        graph: name of the ONNX graph, without its suffix.
        policy: a row of `POLICIES`.
        threads: cores of a session on the CPU; 0: all.

    Raises:
        UsageError: there is no such policy.
        MissingDependencyError: there is no driver, device or TensorRT, and the policy needs one.
        InputError: there is no engine, or it cannot run here and the policy is `fail`.
    """
    if policy not in POLICIES:
        raise unknown_name("engine policy", policy, POLICIES)
    try:
        device = probe_driver().devices[0]
    except MissingDependencyError as error:
        if policy != "onnx":
            raise
        return _on_cpu(folder, graph, threads, str(error).partition(";")[0])
    sidecar = read_sidecar(folder.path, graph)
    reason = preflight(folder.path, sidecar, device)
    if reason is None:
        return _engine(
            folder.path, sidecar, f"{sidecar.flavour} on {device.name}, {sidecar.precision}"
        )
    return POLICIES[policy].instead(folder, sidecar, device, threads, reason)


@dataclass(frozen=True)
class Policy:
    """The replacement of an engine that cannot run here."""

    description: str
    instead: Callable[[AvatarFolder, Sidecar, Device, int, str], EngineChoice]


def _rebuild(
    folder: AvatarFolder, sidecar: Sidecar, device: Device, threads: int, reason: str
) -> EngineChoice:
    place, rebuilt = rebuild(folder, sidecar, device)
    return _engine(
        place,
        rebuilt,
        f"{rebuilt.flavour} on {device.name}, {rebuilt.precision}, rebuilt: {reason}",
    )


def _fail(
    folder: AvatarFolder, sidecar: Sidecar, device: Device, threads: int, reason: str
) -> EngineChoice:
    raise InputError(
        f"the engine of {sidecar.graph} cannot run here: {reason}; use --engine-policy rebuild, or "
        "export it again"
    )


def _use_onnx(
    folder: AvatarFolder, sidecar: Sidecar, device: Device, threads: int, reason: str
) -> EngineChoice:
    return _onnx(folder, sidecar.graph, threads, reason)


POLICIES = {
    "rebuild": Policy(
        "build it again from the avatar's ONNX graph, and store it for later runs", _rebuild
    ),
    "fail": Policy("end with the reason", _fail),
    "onnx": Policy(
        "run the ONNX graph instead, on the GPU if possible, else on the CPU, with a note",
        _use_onnx,
    ),
}
"""The table of `--engine-policy`."""


def rebuild(folder: AvatarFolder, sidecar: Sidecar, device: Device) -> tuple[Path, Sidecar]:
    """Build an engine of the same graph for this device in the user's store, or find it there.

    Returns:
        The engine's folder, and its description.

    Raises:
        InputError: the folder does not have the graph from which the engine was built.
        MissingDependencyError: no TensorRT is installed.
    """
    flavour = find_flavour()
    graph = folder.file(sidecar.source).read_bytes()
    if hashlib.sha256(graph).hexdigest() != sidecar.source_sha256:
        raise InputError(
            f"{sidecar.source} is not the graph from which the engine of {sidecar.graph} was "
            "built; export the avatar again"
        )
    spec = EngineSpec(
        sidecar.profile, flavour.targets_here((device.architecture,) if flavour.targets else ())
    )
    place = store() / input_key(
        sidecar.source_sha256, flavour.name, str(flavour.load().__version__), spec
    )
    if (stored := _find_stored(folder, place, sidecar.graph, device)) is not None:
        return place, stored
    built = build_engine(flavour, graph, spec, timing=read_timing(flavour))
    write_timing(flavour, built.timing)
    rebuilt = replace(
        sidecar,
        flavour=flavour.name,
        version=built.version,
        system=system_here(),
        targets=spec.targets,
        compatibility=spec.compatibility,
        plan_sha256=hashlib.sha256(built.plan).hexdigest(),
        plan_bytes=len(built.plan),
        inputs=built.inputs,
        outputs=built.outputs,
        executed=f"rebuilt for {device.name}",
    )
    with atomic_folder(place, marker=f"{FOLDER}/{sidecar.graph}.json", overwrite=True) as partial:
        write_engine(partial, built, rebuilt)
    return place, rebuilt


def _find_stored(folder: AvatarFolder, place: Path, graph: str, device: Device) -> Sidecar | None:
    try:
        sidecar = read_sidecar(place, graph)
    except InputError:
        return None
    return None if preflight(place, sidecar, device, bundle=folder.path) else sidecar


def _engine(place: Path, sidecar: Sidecar, note: str) -> EngineChoice:
    session = EngineSession(plan_path(place, sidecar.graph).read_bytes(), sidecar)
    return EngineChoice(session, note, session.close)


def _onnx(folder: AvatarFolder, graph: str, threads: int, reason: str) -> EngineChoice:
    try:
        session = open_session(folder.file(f"{graph}.onnx"), threads=threads, provider=CUDA)
    except MissingDependencyError as error:
        return _on_cpu(folder, graph, threads, f"{reason}; {error}")
    return EngineChoice(session, f"ONNX Runtime on the GPU: {reason}")


def _on_cpu(folder: AvatarFolder, graph: str, threads: int, reason: str) -> EngineChoice:
    return EngineChoice(
        open_session(folder.file(f"{graph}.onnx"), threads=threads),
        f"ONNX Runtime on the CPU: {reason}",
    )
