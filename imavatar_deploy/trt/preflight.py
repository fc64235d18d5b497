"""Preflight: check whether a plan can run here, without creating TensorRT runtime objects."""

from __future__ import annotations

import re
from pathlib import Path

from imavatar_deploy.avatar_io import sha256
from imavatar_deploy.errors import MissingDependencyError

from .driver import Device
from .flavours import FLAVOURS
from .sidecar import Sidecar, intact_plan, system_here

AMPERE = 80
"""Compute capability without its point, from which plans of compatibility `hardware` run."""


def preflight(
    folder: Path, sidecar: Sidecar, device: Device, bundle: Path | None = None
) -> str | None:
    """Return why the plan of `sidecar` in `folder` cannot run on `device`; None if it can.

    Args:
        bundle: folder of the graph that the plan was built from, if that is not `folder`.
    """
    for check in (_flavour, _version, _system):
        if reason := check(sidecar):
            return reason
    return (
        _architecture(sidecar, device)
        or _source(bundle or folder, sidecar)
        or _plan(folder, sidecar)
    )


def _flavour(sidecar: Sidecar) -> str | None:
    if sidecar.flavour not in FLAVOURS:
        return f"it was built by {sidecar.flavour!r}, which this program does not know"
    try:
        FLAVOURS[sidecar.flavour].load()
    except MissingDependencyError as error:
        return str(error)
    return None


def _version(sidecar: Sidecar) -> str | None:
    here = str(FLAVOURS[sidecar.flavour].load().__version__)
    if here == sidecar.version:
        return None
    runtime = _numbers(here)
    builder = _numbers(sidecar.version)
    if sidecar.compatibility == "version" and runtime > builder and runtime[:1] == builder[:1]:
        return None
    return f"it was built by {sidecar.flavour} {sidecar.version}, here is {here}"


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def _system(sidecar: Sidecar) -> str | None:
    here = system_here()
    return None if sidecar.system == here else f"it was built for {sidecar.system}, this is {here}"


def _architecture(sidecar: Sidecar, device: Device) -> str | None:
    if device.architecture in sidecar.targets:
        return None
    if (
        sidecar.compatibility == "hardware"
        and int(device.architecture.removeprefix("sm")) >= AMPERE
    ):
        return None
    return f"it was built for {', '.join(sidecar.targets)}, {device.name} is {device.architecture}"


def _source(folder: Path, sidecar: Sidecar) -> str | None:
    path = folder / sidecar.source
    if path.is_file() and sha256(path) == sidecar.source_sha256:
        return None
    return f"{sidecar.source} is not the graph it was built of"


def _plan(folder: Path, sidecar: Sidecar) -> str | None:
    return "its plan is missing or damaged" if intact_plan(folder, sidecar) is None else None
