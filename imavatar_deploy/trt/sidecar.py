"""The sidecar of a plan: what one must know before trusting it, in a JSON file beside it; the plan stays plain."""

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
from imavatar_deploy.errors import InputError

from .build import BuiltEngine, EngineSpec, EngineTensor, Profile
from .flavours import Flavour

SCHEMA_VERSION = 1

FOLDER = "engines"


@dataclass(frozen=True)
class Sidecar:
    """The facts of one plan."""

    graph: str
    """`texture`, `deformation` or `animate`."""
    flavour: str
    version: str
    """Of TensorRT, which reads no other's plans."""
    system: str
    """As `system_here` gives it."""
    targets: tuple[str, ...]
    """Architectures, as `sm89`."""
    compatibility: str
    precision: str
    profile: Profile
    source: str
    """The ONNX graph it is made of, relative to the avatar folder."""
    source_sha256: str
    plan_sha256: str
    plan_bytes: int
    inputs: tuple[EngineTensor, ...]
    outputs: tuple[EngineTensor, ...]
    limits: Mapping[str, float]
    """Output -> how far from the golden data it may be, anywhere."""
    half_drift: Mapping[str, float | None]
    """Output -> how far half precision was from the golden data at export; None stands for not a number."""
    executed: str
    """Where the plan itself was run at export and passed, or why it was not run."""
    schema_version: int = SCHEMA_VERSION

    @property
    def order(self) -> EngineSpec:
        """What it was built by."""
        return EngineSpec(self.profile, self.targets, self.compatibility)


def system_here() -> str:
    """`linux-x86_64` and the like: a plan belongs to one system."""
    return f"{platform.system().lower()}-{platform.machine().lower()}"


def input_key(source_sha256: str, flavour: str, version: str, order: EngineSpec) -> str:
    """Hash of all that decides a plan. Of the inputs, since building twice gives other bytes."""
    facts = [source_sha256, flavour, version, system_here(), asdict(order)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def write_engine(folder: Path, built: BuiltEngine, sidecar: Sidecar) -> None:
    """Write `engines/GRAPH.plan`, its bytes untouched, and the sidecar beside it."""
    path = plan_path(folder, sidecar.graph)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(built.plan)
    write_sidecar(folder, sidecar)


def write_sidecar(folder: Path, sidecar: Sidecar) -> None:
    """Write the sidecar alone."""
    path = plan_path(folder, sidecar.graph).with_suffix(".json")
    path.write_text(json.dumps(asdict(sidecar), indent=2) + "\n", encoding="utf-8")


def plan_path(folder: Path, graph: str) -> Path:
    """Where the plan of a graph lies in an avatar folder or a cache."""
    return folder / FOLDER / f"{graph}.plan"


def read_sidecar(folder: Path, graph: str) -> Sidecar:
    """The sidecar of a graph's plan.

    Raises:
        InputError: there is none, or it is not one, or of a newer kind.
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
            f"{path} is not an engine's sidecar ({error!r}); export it again"
        ) from error
    raise InputError(
        f"{path} has schema version {facts['schema_version']}, this program reads {SCHEMA_VERSION}; export it again"
    )


def read_sidecars(folder: Path) -> list[Sidecar]:
    """Every sidecar of a folder, by name."""
    return [read_sidecar(folder, path.stem) for path in sorted((folder / FOLDER).glob("*.json"))]


def intact_plan(folder: Path, sidecar: Sidecar) -> bytes | None:
    """The plan's bytes, if they are those that the sidecar speaks of."""
    path = plan_path(folder, sidecar.graph)
    return path.read_bytes() if path.is_file() and sha256(path) == sidecar.plan_sha256 else None


def _sidecar(facts: dict[str, Any]) -> Sidecar:
    tensors = {
        side: tuple(EngineTensor(t["name"], t["dtype"], tuple(t["shape"])) for t in facts[side])
        for side in ("inputs", "outputs")
    }
    rest = {"profile": Profile(**facts["profile"]), "targets": tuple(facts["targets"])}
    return Sidecar(**{**facts, **tensors, **rest})


# The user's own store of engines: rebuilt plans by the hash of their inputs, and what kernels took on this GPU.


def store() -> Path:
    """`$XDG_CACHE_HOME/imavatar-deploy/engines`, in the home folder where that is not set."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "imavatar-deploy" / "engines"


def read_timing(flavour: Flavour) -> bytes:
    """The timing cache of a flavour; empty where there is none yet, or it has none."""
    path = _timing_path(flavour)
    return path.read_bytes() if flavour.timing_cache and path.is_file() else b""


def write_timing(flavour: Flavour, content: bytes | None) -> None:
    """Keep a timing cache, if there is one."""
    if content is not None:
        with atomic_file(_timing_path(flavour)) as partial:
            partial.write_bytes(content)


def _timing_path(flavour: Flavour) -> Path:
    return store() / f"{flavour.name}.timing"
