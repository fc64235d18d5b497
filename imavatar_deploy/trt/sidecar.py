"""Sidecars: JSON files that describe TensorRT plans, and the user's cache of engines.

A plan is used only after `preflight` compared its sidecar with this machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.avatar_io import sha256
from imavatar_deploy.errors import InputError, excerpt

from .build import BuiltEngine, EngineSpec, EngineTensor, Profile
from .flavours import Flavour

SCHEMA_VERSION = 1

FOLDER = "engines"
"""Folder of the plans in an avatar folder or a cache."""


@dataclass(frozen=True)
class Sidecar:
    """Description of one plan."""

    graph: str
    """`texture`, `deformation` or `animate`."""
    flavour: str
    version: str
    """Version of TensorRT; other versions cannot read the plan."""
    system: str
    """Result of `system_here`."""
    targets: tuple[str, ...]
    """Architectures, such as `sm89`."""
    compatibility: str
    precision: str
    profile: Profile
    source: str
    """ONNX graph that it is built from, relative to the avatar folder."""
    source_sha256: str
    plan_sha256: str
    plan_bytes: int
    inputs: tuple[EngineTensor, ...]
    outputs: tuple[EngineTensor, ...]
    limits: Mapping[str, float]
    """Output -> largest difference from the golden data that is accepted."""
    half_drift: Mapping[str, float | None]
    """Output -> difference of half precision from the golden data at export; None means NaN."""
    executed: str
    """Where the plan was run and verified at export, or why it was not run."""
    schema_version: int = SCHEMA_VERSION


def system_here() -> str:
    """Return the name of this system, such as `linux-x86_64`; a plan runs on one system only."""
    return f"{platform.system().lower()}-{platform.machine().lower()}"


def input_key(source_sha256: str, flavour: str, version: str, spec: EngineSpec) -> str:
    """Return a hash of the inputs of a build; repeated builds give plans of different bytes."""
    facts = [source_sha256, flavour, version, system_here(), asdict(spec)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def write_engine(folder: Path, built: BuiltEngine, sidecar: Sidecar) -> None:
    """Write `engines/GRAPH.plan`, the unmodified plan, and its sidecar."""
    path = plan_path(folder, sidecar.graph)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(built.plan)
    write_sidecar(folder, sidecar)


def write_sidecar(folder: Path, sidecar: Sidecar) -> None:
    """Write the sidecar alone."""
    path = plan_path(folder, sidecar.graph).with_suffix(".json")
    path.write_text(json.dumps(asdict(sidecar), indent=2) + "\n", encoding="utf-8")


def plan_path(folder: Path, graph: str) -> Path:
    """Return the path of a graph's plan in an avatar folder or a cache."""
    return folder / FOLDER / f"{graph}.plan"


def read_sidecar(folder: Path, graph: str) -> Sidecar:
    """Read the sidecar of a graph's plan.

    Raises:
        InputError: there is none, it is damaged, or its schema version is another.
    """
    path = plan_path(folder, graph).with_suffix(".json")
    if not path.is_file():
        raise InputError(f"{folder} has no engine of {graph}; export it again with --format trt")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["schema_version"] == SCHEMA_VERSION:
            return _sidecar(facts)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path} is not an engine's sidecar ({excerpt(repr(error))}); export it again"
        ) from error
    raise InputError(
        f"{path} has schema version {facts['schema_version']}, "
        f"this program reads {SCHEMA_VERSION}; export it again"
    )


def read_sidecars(folder: Path) -> list[Sidecar]:
    """Read every sidecar of a folder, sorted by name."""
    return [read_sidecar(folder, path.stem) for path in sorted((folder / FOLDER).glob("*.json"))]


def intact_plan(folder: Path, sidecar: Sidecar) -> bytes | None:
    """Return the plan's bytes if their hash is that in the sidecar, else None."""
    path = plan_path(folder, sidecar.graph)
    return path.read_bytes() if path.is_file() and sha256(path) == sidecar.plan_sha256 else None


def _sidecar(facts: dict[str, Any]) -> Sidecar:
    tensors = {
        side: tuple(EngineTensor(t["name"], t["dtype"], tuple(t["shape"])) for t in facts[side])
        for side in ("inputs", "outputs")
    }
    rest = {"profile": Profile(**facts["profile"]), "targets": tuple(facts["targets"])}
    return Sidecar(**{**facts, **tensors, **rest})


# The user's cache: rebuilt plans by the hash of their inputs, and timing caches


def store() -> Path:
    """Return the cache folder: `$XDG_CACHE_HOME/imavatar-deploy/engines`, or in `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "imavatar-deploy" / "engines"


def read_timing(flavour: Flavour) -> bytes:
    """Read the timing cache of a flavour; empty if there is none."""
    path = _timing_path(flavour)
    return path.read_bytes() if flavour.timing_cache and path.is_file() else b""


def write_timing(flavour: Flavour, content: bytes | None) -> None:
    """Write the timing cache of a flavour; None writes nothing."""
    if content is not None:
        with atomic_file(_timing_path(flavour)) as partial:
            partial.write_bytes(content)


def _timing_path(flavour: Flavour) -> Path:
    return store() / f"{flavour.name}.timing"
