"""Engines: the plan that colours an avatar on this GPU, or what is done instead, with the reason in words."""

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
    """What runs a graph."""

    session: Any
    note: str
    """What it is, and why, where that is not what was asked for."""
    close: Callable[[], None] = lambda: None
    """Gives back what it holds on a device."""


def choose(folder: AvatarFolder, graph: str, policy: str, threads: int = 0) -> EngineChoice:
    """The engine of `graph` if it can run here, else what the policy says.

    Raises:
        UsageError: there is no such policy.
        MissingDependencyError: no driver, no device or no TensorRT, and the policy needs one.
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
    """What is done when an engine cannot run here."""

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
        f"the engine of {sidecar.graph} cannot run here: {reason}; use --engine-policy rebuild, or export it again"
    )


def _use_onnx(
    folder: AvatarFolder, sidecar: Sidecar, device: Device, threads: int, reason: str
) -> EngineChoice:
    return _onnx(folder, sidecar.graph, threads, reason)


POLICIES = {
    "rebuild": Policy(
        "build it anew from the avatar's own ONNX graph, and keep it for the next time", _rebuild
    ),
    "fail": Policy("say why and end", _fail),
    "onnx": Policy(
        "run the ONNX graph instead, on the GPU where it can, else on the CPU, and say so",
        _use_onnx,
    ),
}
"""The table of `--engine-policy`."""


def rebuild(folder: AvatarFolder, sidecar: Sidecar, device: Device) -> tuple[Path, Sidecar]:
    """An engine of the same graph for this device, in the user's store, from there if it is there already.

    Raises:
        InputError: the graph it was built of is not in the folder.
        MissingDependencyError: no TensorRT is installed.
    """
    flavour, graph = find_flavour(), folder.file(sidecar.source).read_bytes()
    if hashlib.sha256(graph).hexdigest() != sidecar.source_sha256:
        raise InputError(
            f"{sidecar.source} is not the graph that the engine of {sidecar.graph} was built of"
        )
    order = EngineSpec(
        sidecar.profile, flavour.targets_here((device.architecture,) if flavour.targets else ())
    )
    place = store() / input_key(
        sidecar.source_sha256, flavour.name, str(flavour.load().__version__), order
    )
    if (known := _kept(folder, place, sidecar.graph, device)) is not None:
        return place, known
    built = build_engine(flavour, graph, order, timing=read_timing(flavour))
    write_timing(flavour, built.timing)
    made = replace(
        sidecar,
        flavour=flavour.name,
        version=built.version,
        system=system_here(),
        targets=order.targets,
        compatibility=order.compatibility,
        plan_sha256=hashlib.sha256(built.plan).hexdigest(),
        plan_bytes=len(built.plan),
        inputs=built.inputs,
        outputs=built.outputs,
        executed=f"rebuilt for {device.name}",
    )
    with atomic_folder(place, marker=f"{FOLDER}/{sidecar.graph}.json", overwrite=True) as partial:
        write_engine(partial, built, made)
    return place, made


def _kept(folder: AvatarFolder, place: Path, graph: str, device: Device) -> Sidecar | None:
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
